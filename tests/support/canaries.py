"""Canaries: secrets planted where the service can come across them, and looked for in everything that it says.

`environment.py` and `seed_rows.py` plant them, before Airflow is imported; so nothing here may import it either.
What they are looked for in is heard by `listening.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from bisect import bisect
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote, quote_plus

ROLES = ("admin", "op", "user", "viewer")
# What a token, a key or the base64 of one is made of, as far as it is long enough to be one.
_WORD = re.compile(rb"[A-Za-z0-9._~+/=-]{20,}")


def planted_word(name: str) -> str:
    """Return a secret of 71 characters and more, of which no part is anything else."""
    return f"canary-{name}-{hashlib.sha256(name.encode()).hexdigest()}"


FERNET_KEY = base64.urlsafe_b64encode(hashlib.sha256(b"canary").digest()).decode()
JWT_SECRET = planted_word("jwt-secret")
SECRET_KEY = planted_word("secret-key")
HEADER_TOKEN = planted_word("header-token")
BROKER_PASSWORD = planted_word("broker")
RESULTS_PASSWORD = planted_word("results")
SMTP_PASSWORD = planted_word("smtp")
ELASTICSEARCH_PASSWORD = planted_word("elasticsearch")
SENTRY_KEY = planted_word("sentry")
# The connections and variables of the scenario: id to password and extra, key to value.
CONNECTIONS = {
    "warehouse": (
        planted_word("warehouse"),
        {"region": "north", "aws_secret_access_key": planted_word("access/key+")},
    ),
    "mailbox": (
        planted_word('mail\'s "box"'),
        {"private_key": f"-----BEGIN\n{planted_word('private-key')}\n"},
    ),
    "in_no_extra": (planted_word("plain"), {}),
}
VARIABLES = {
    "warehouse_api_key": planted_word("api-key"),
    "settings_of_report": json.dumps({"password": planted_word("in-json"), "colour": "green"}),
}


def password_of(role: str) -> str:
    """The password of the user who is named like the role."""
    return f"{role}-password"


def planted() -> dict[str, str]:
    """All planted secrets by what they are."""
    named = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, str)}
    passwords = {f"password of {role}": password_of(role) for role in ROLES}
    rows: dict[str, str] = {f"variable {key}": value for key, value in VARIABLES.items()}
    for connection, (password, extra) in CONNECTIONS.items():
        rows[f"password of {connection}"] = password
        rows |= {f"{name} of {connection}": value for name, value in extra.items() if "canary" in value}
    return {**named, **passwords, **rows}


def forms(secret: str) -> set[bytes]:
    """The ways in which a secret may be written: as it is, in JSON, in an address, and within base64."""
    texts = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        repr(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    }
    return {text.encode() for text in texts} | set(_in_base64(secret.encode()))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """What base64 makes of it behind none, one or two other bytes, without the characters that others share."""
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            written = encode(b"\0" * before + secret)
            yield written[(0, 2, 3)[before] : (before + len(secret)) * 8 // 6]


class Notebook:
    """What was said, where, in a file; and the secrets that must not be in it."""

    def __init__(self, path: Path, secrets: Mapping[str, str]) -> None:
        self._path = path
        self._secrets = dict(secrets)
        self._issued: dict[bytes, str] = {}
        self._known: set[bytes] = set()
        self._places: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        path.touch()

    def issued(self, what: str, token: str) -> None:
        """A token was given out, or presented: it is a secret from now on. There may be very many."""
        if _WORD.fullmatch(token.encode()):
            for word in (token.encode(), base64.b64encode(token.encode())):
                self._issued[word] = what

    def note(self, where: str, said: bytes) -> None:
        """Write down what was said; the same words are written down once."""
        digest = hashlib.blake2b(said, digest_size=16).digest()
        with self._lock:
            if said and digest not in self._known:
                self._known.add(digest)
                with self._path.open("ab") as file:
                    self._places.append((file.tell(), where))
                    file.write(said + b"\n")

    def said(self) -> bytes:
        """Everything that was said up to now."""
        return self._path.read_bytes()

    def hits(self) -> list[str]:
        """Every secret that was said, with the first place where."""
        said = self.said()
        return [*self._planted_in(said), *self._issued_in(said)]

    def _planted_in(self, said: bytes) -> Iterator[str]:
        for name, secret in self._secrets.items():
            for form in forms(secret):
                at = said.find(form)
                if at >= 0:
                    yield f"{name}, as {form[:24]!r}…, in {self._place(at)}"

    def _issued_in(self, said: bytes) -> Iterator[str]:
        words = {word for found in _WORD.findall(said) for word in (found, found.strip(b".=/-"))}
        for word in words & self._issued.keys():
            yield f"{self._issued[word]}, as {word[:24]!r}…, in {self._place(said.find(word))}"

    def _place(self, at: int) -> str:
        return self._places[bisect(self._places, at, key=itemgetter(0)) - 1][1]
