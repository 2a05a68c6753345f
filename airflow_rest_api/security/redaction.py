"""Redaction: the secrets of this installation, taken out of whatever leaves the process.

Nothing here should ever find anything. It is the net below answers, problems, the audit and the logs, for the day on
which a driver quotes its address in an error, or a DAG prints its environment.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

from airflow_rest_api.services.configuration import option
from airflow_rest_api.settings import Settings

MASK = "***"
# What is shorter is left alone: it may be a word, and would vanish from every sentence that has it.
LEAST_LENGTH = 8


class Redactor:
    """Replaces secrets by `MASK`, as they are and as JSON, URLs and base64 write them.

    Each form is searched for on its own: a handful of plain searches costs less than one pattern of them all.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the secrets; those shorter than `LEAST_LENGTH` are not known."""
        forms = {form for secret in secrets if len(secret) >= LEAST_LENGTH for form in _forms(secret)}
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


def of_installation(settings: Settings) -> Redactor:
    """Return a redactor that knows the secrets of `airflow.cfg`, its environment and backends, and of ``settings``.

    Passwords of users are not among them: people choose words, and whoever can make the service repeat a text could
    try them out on it.
    """
    return Redactor([*_of_airflow(), *_of_this_service(settings)])


def _of_airflow() -> Iterator[str]:
    database = option("database", "sql_alchemy_conn") or ""
    yield database
    for place in (database, option("celery", "broker_url"), option("celery", "result_backend")):
        yield from _of_addresses(place or "")
    yield from (key.strip() for key in (option("core", "fernet_key") or "").split(","))
    yield option("api_auth", "jwt_secret") or ""
    yield option("api", "secret_key") or ""


def _of_addresses(addresses: str) -> Iterator[str]:
    """Yield the addresses that hold a password, and the passwords; Celery takes several, with semicolons between."""
    for address in addresses.split(";"):
        try:
            password = urlsplit(address).password
        except ValueError:
            continue
        if password:
            yield from (address, password, unquote(password))


def _of_this_service(settings: Settings) -> Iterator[str]:
    yield settings.jwt_secret or ""
    yield from (token.value for token in settings.http_tokens if not token.value.startswith("sha256:"))
