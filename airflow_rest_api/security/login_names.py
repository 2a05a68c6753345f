"""Login names: which spellings of a name may reach the same account, and so share one count of failures."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from airflow_rest_api.security import auth_manager

_ESCAPED = re.compile(r"\\([0-9a-f]{2}|.)", re.DOTALL)


@dataclass(frozen=True)
class LoginName:
    """A name as it was sent, without what the auth manager does not tell apart, and the account that it reaches.

    Only ``account`` depends on who exists: nothing that is answered may be told by it.
    """

    spelling: str
    account: str


def read(username: str) -> LoginName:
    """Look at a name as the configured auth manager will. May ask the database."""
    if not auth_manager.is_fab():
        return LoginName(username, f"name:{username}")
    spelling = _of_directory(username) if auth_manager.fab_has_ldap() else username.lower()
    account = auth_manager.fab_account(username)
    return LoginName(spelling, f"name:{spelling}" if account is None else f"id:{account}")


def _of_directory(username: str) -> str:
    r"""Fold what directories do not tell apart: case, spaces, compatible forms (RFC 4518), accents (Active Directory).

    Escapes too: Flask-AppBuilder puts the name into `AUTH_LDAP_USERNAME_FORMAT` as it is, where `\61` is an `a`.
    """
    plain = _ESCAPED.sub(_unescaped, username.lower())
    marks = ("Mn", "Me", "Cf", "Cc")
    decomposed = unicodedata.normalize("NFKD", plain.casefold())
    letters = "".join(" " if char.isspace() else char for char in decomposed)
    kept = "".join(char for char in letters if unicodedata.category(char) not in marks)
    return " ".join(kept.split())


def _unescaped(escape: re.Match[str]) -> str:
    code = escape.group(1)
    return chr(int(code, 16)) if len(code) == 2 else code
