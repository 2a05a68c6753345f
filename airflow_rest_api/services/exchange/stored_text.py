"""Stored texts: what a column holds in clear or encrypted, read and written without an object of Airflow's.

Airflow's models tell its masker of every secret that they load; with thousands of them its log would become slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.models.crypto import get_fernet
from cryptography.fernet import InvalidToken

from airflow_rest_api.services import errors

Row = Mapping[Any, Any]
Fields = Mapping[str, Any]
# The most names in one error.
MOST_NAMES = 1000


class SecretUnreadable(errors.Conflict):
    """Values were encrypted with a key that Airflow no longer has."""

    title = "A stored value cannot be decrypted"

    def __init__(self, word: str, names: Sequence[str]) -> None:
        listed = ", ".join(f"'{name}'" for name in names[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        super().__init__(
            f"The stored {word}s {listed}{more} cannot be decrypted with the current `[core] fernet_key`. Replace or"
            " delete them, or leave them out of an export with `skip_undecryptable=true`.",
            name=names[0],
            names=list(names[:MOST_NAMES]),
        )


@dataclass(frozen=True)
class Exported:
    """The text of an export, and the names of the objects that were left out because they cannot be decrypted."""

    text: str
    left_out: tuple[str, ...] = ()


def readable(
    word: str, rows: Mapping[str, Row], read: Callable[[Row], Fields], *, skip_undecryptable: bool
) -> tuple[dict[str, Fields], tuple[str, ...]]:
    """Return what ``read`` makes of each row by name, and the names of the rows that cannot be decrypted.

    Raises `SecretUnreadable` with all of these names unless ``skip_undecryptable``.
    """
    all_fields = {name: _fields(read, row) for name, row in rows.items()}
    left_out = tuple(name for name, fields in all_fields.items() if fields is None)
    if left_out and not skip_undecryptable:
        raise SecretUnreadable(word, left_out)
    return {name: fields for name, fields in all_fields.items() if fields is not None}, left_out


def _fields(read: Callable[[Row], Fields], row: Row) -> Fields | None:
    try:
        return read(row)
    except SecretUnreadable:
        return None


def decrypted(word: str, name: str, text: str | None, *, is_encrypted: bool) -> str | None:
    """Return a stored text in clear; raises `SecretUnreadable` with the ``word`` and ``name`` of its object."""
    if not text or not is_encrypted:
        return text
    try:
        return get_fernet().decrypt(text.encode()).decode()
    except (InvalidToken, ValueError):
        raise SecretUnreadable(word, [name]) from None


def encrypted(text: str | None) -> tuple[str | None, bool]:
    """Return a text as it is to be stored, and whether that is encrypted; what is empty stays as it is."""
    if not text:
        return text, False
    fernet = get_fernet()
    return fernet.encrypt(text.encode()).decode(), fernet.is_encrypted


def fault(text: str | None, most: int | None = None) -> str | None:
    """Return what hinders a text to be stored, in words; None for a good one. ``most`` counts characters."""
    if text is None:
        return None
    if most is not None and len(text) > most:
        return f"has more than {most} characters"
    if "\0" in text or _has_surrogate(text):
        return "holds a character that cannot be stored"
    return None


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def first_fault(fields: Iterable[tuple[str, str | None, int | None]]) -> str | None:
    """Return what hinders the first of some named texts to be stored, as a sentence."""
    for name, text, most in fields:
        if (why := fault(text, most)) is not None:
            return f"The {name} {why}."
    return None
