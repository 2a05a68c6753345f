"""Masks: what of a variable or a connection is shown, and what is kept when a mask is sent back.

Shown is what Airflow's `/api/v2` shows (`datamodels/variables.py`, `datamodels/connections.py`): whatever has a
sensitive name is `***`, and so are the secrets that Airflow has met in this process, wherever they stand. A client
that reads, changes one field and writes all of them back sends masks: they mean "as it is stored", and are never
stored themselves.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from airflow._shared.secrets_masker import merge, redact, secrets_masker

from airflow_rest_api.services import errors

MASK = "***"
# What a text is that is no JSON; `null` is JSON.
_TEXT: Any = object()
_LEARNING = threading.Lock()


class MaskedValue(errors.Malformed):
    """A mask was sent for something of which nothing is stored."""

    title = "A mask stands for nothing"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is '{MASK}', which stands for the value that is stored, and there is none:"
            " send the value itself, or leave it out.",
        )


def learn(passwords: Iterable[str]) -> None:
    """Let Airflow's masker know these passwords, as it does where it loads a connection: no text shows them any more.

    All at once: `mask_secret` compiles anew, for each, the pattern of all that it knows, which takes a minute of the
    processor for a thousand.
    """
    masker = secrets_masker._secrets_masker()
    patterns = {re.escape(form) for password in passwords for form in _forms(password)}
    with _LEARNING:
        if not patterns <= masker.patterns:
            masker.patterns |= patterns
            # The longest first, so that nothing is left of one that begins as another does.
            masker.replacer = re.compile("|".join(sorted(masker.patterns, key=len, reverse=True)))


def _forms(password: str) -> Iterator[str]:
    """Yield the forms of a password that are masked: those that are long and rare enough, as the masker says."""
    masker = secrets_masker._secrets_masker()
    for text in {password, quote(password)}:
        for form in masker._adaptations(text):
            is_word = form.lower() in secrets_masker.SECRETS_TO_SKIP_MASKING
            if len(form) >= masker.min_length_to_mask and not is_word:
                yield form


def variable(key: str, text: str | None) -> str | None:
    """Return what may be shown of a variable's value."""
    if text is None:
        return None
    value = _parsed(text)
    return str(redact(text, key)) if value is _TEXT else json.dumps(redact(value, key))


def variable_text(key: str, text: str) -> str:
    """Return what may be shown of a variable's value, letter for letter where nothing of it has to be masked."""
    shown = variable(key, text) or ""
    return shown if MASK in shown else text


def is_sensitive(name: str) -> bool:
    """Tell whether what has this name is a secret, whatever it is."""
    return bool(secrets_masker.should_hide_value_for_key(name))


def password(text: str | None) -> str | None:
    """Return what may be shown of a connection's password."""
    return None if text is None else str(redact(text, "password"))


def extra(text: str | None) -> str | None:
    """Return what may be shown of a connection's extra, which is JSON wherever Airflow has written it.

    What is no JSON is masked as a whole (`/api/v2` cannot answer then).
    """
    if not text:
        return text
    value = _parsed(text)
    return MASK if value is _TEXT else json.dumps(redact(value))


def extra_text(text: str) -> str:
    """Return what may be shown of an extra, letter for letter where nothing of it has to be masked."""
    shown = extra(text) or ""
    return shown if MASK in shown else text


def kept_variable(key: str, new: str, old: str | None) -> str:
    """Return the value to be stored for a ``new`` one, with ``old`` stored; raises `MaskedValue`.

    What is shown of the old one stands for it, as a whole and inside of JSON.
    """
    if old is not None and new in (MASK, old, variable(key, old)):
        return old
    return _kept(f"The value of the variable '{key}'", new, old, key)


def kept_password(new: str | None, old: str | None) -> str | None:
    """Return the password to be stored for a ``new`` one, with ``old`` stored; raises `MaskedValue`."""
    if new != MASK:
        return new
    if old is None:
        raise MaskedValue("The password")
    return old


def kept_extra(new: str | None, old: str | None, password: str | None = None) -> str | None:
    """Return the extra to be stored for a ``new`` one, with ``old`` stored; raises `MaskedValue`.

    ``password`` is the connection's own, which is masked where the old one repeats it: another process may have
    shown that, and Airflow's masker does not know it here.
    """
    if new is None:
        return None
    if old and new in (MASK, old, extra(old)):
        return old
    return _kept("A field of the extra", new, old, None, hidden=list(_forms(password or "")))


def _kept(what: str, new: str, old: str | None, name: str | None, hidden: Sequence[str] = ()) -> str:
    """Put what is stored where a mask stands, leaf by leaf; a text without any is returned as it was sent."""
    if MASK not in new:
        return new
    if (value := _parsed(new)) is _TEXT:
        if new == MASK:
            raise MaskedValue(what)
        return new
    stored = _TEXT if old is None else _parsed(old)
    try:
        whole = value if stored is _TEXT else _restored(merge(value, stored, name), stored, hidden)
        if _has_mask(whole):
            raise MaskedValue(what)
        if old is not None and whole != value and json.dumps(whole) == json.dumps(stored):
            return old
        return new if whole == value else json.dumps(whole)
    except RecursionError:
        # Nested so deep that nobody can tell what the mask stands for.
        raise MaskedValue(what) from None


def _restored(new: Any, stored: Any, hidden: Sequence[str]) -> Any:
    """Put what is stored where a text is sent back as it was shown, with masks for secrets within.

    Airflow's `merge` looks for masks alone, under sensitive names, and would store all others.
    """
    if isinstance(new, dict) and isinstance(stored, dict):
        return {
            name: _restored(entry, stored[name], hidden) if name in stored else entry
            for name, entry in new.items()
        }
    if isinstance(new, list) and isinstance(stored, list):
        both = zip(new, stored, strict=False)
        return [_restored(*pair, hidden) for pair in both] + new[len(stored) :]
    if isinstance(new, str) and isinstance(stored, str) and MASK in new:
        return stored if new == _shown(stored, hidden) else new
    return new


def _shown(text: str, hidden: Sequence[str]) -> str:
    for word in hidden:
        text = text.replace(word, MASK)
    return str(redact(text))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _TEXT


def _has_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_mask(entry) for entry in value.values())
    if isinstance(value, list):
        return any(_has_mask(entry) for entry in value)
    return bool(value == MASK)
