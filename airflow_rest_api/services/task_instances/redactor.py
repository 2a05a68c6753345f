"""Redactor: takes given secrets out of texts, as they are and as JSON, URLs and base64 write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
# What is shorter is left alone: it may be a word, and would vanish from every sentence that has it.
LEAST_LENGTH = 8


class Redactor:
    """Replaces secrets by `MASK`, as they are and as JSON, URLs and base64 write them.

    Each form is searched for on its own: a handful of plain searches costs less than one pattern of them all.
    """

    def __init__(self, secrets: Iterable[str] = (), least: int = LEAST_LENGTH) -> None:
        """Take the secrets; those with fewer than ``least`` characters are not known."""
        forms = {form for secret in secrets if len(secret) >= least for form in _forms(secret)}
        # The longest first: an address before the password within it.
        self._texts = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        self._parts = tuple(form.encode() for form in self._texts)
        # In a document the others cannot stand inside a text, and what they match would be its structure.
        self._in_json = tuple(form.encode() for form in self._texts if _fits_json(form))

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for form in self._texts:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def part(self, raw: bytes) -> bytes:
        """Return a part of a text in UTF-8 without the secrets that are whole within it."""
        return _without(self._parts, raw)

    def json(self, raw: bytes) -> bytes:
        """Return a JSON document without secrets; it stays one."""
        return _without(self._in_json, raw)


def _without(forms: tuple[bytes, ...], raw: bytes) -> bytes:
    for form in forms:
        if form in raw:
            raw = raw.replace(form, MASK.encode())
    return raw


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a secret may be written; most have the same for all but base64."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    raw = secret.encode()
    if len(raw) < LEAST_LENGTH:
        return
    # Without its padding and the character before, which change with what follows.
    stable = len(raw) // 3 * 4
    yield base64.b64encode(raw).decode()[:stable]
    yield base64.urlsafe_b64encode(raw).decode()[:stable]


def _fits_json(form: str) -> bool:
    try:
        json.loads(f'"{form}"')
    except ValueError:
        return False
    return True
