"""Stored texts: what a column holds in clear or encrypted, read and written without an object of Airflow's.

Airflow's models tell its masker of every secret that they load; with thousands of them its log would become slow.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow.models.crypto import get_fernet
from cryptography.fernet import InvalidToken

from airflow_rest_api.services import errors


class SecretUnreadable(errors.Conflict):
    """Something was encrypted with a key that Airflow does not have any more."""

    title = "A stored value cannot be decrypted"

    def __init__(self, word: str, name: str) -> None:
        super().__init__(
            f"What is stored of the {word} '{name}' cannot be decrypted with the present `[core] fernet_key`:"
            " put it anew, or delete it.",
            name=name,
        )


def decrypted(word: str, name: str, text: str | None, *, is_encrypted: bool) -> str | None:
    """Return a stored text in clear; raises `SecretUnreadable` with the ``word`` and ``name`` of its object."""
    if not text or not is_encrypted:
        return text
    try:
        return get_fernet().decrypt(text.encode()).decode()
    except (InvalidToken, ValueError):
        raise SecretUnreadable(word, name) from None


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
