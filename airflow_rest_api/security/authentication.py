"""Authentication: from the credentials of a request to the one user who sent them."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from cachetools import LRUCache

from airflow_rest_api.security import auth_manager
from airflow_rest_api.security.access import caller_of
from airflow_rest_api.security.tokens import Tokens
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.settings import HeaderToken, Settings, SettingsError

# How long a user may be remembered here. Flask-AppBuilder remembers users for `[fab] cache_ttl` (30 s) beside it.
REMEMBER_SECONDS = 5.0
_REMEMBERED = 4096


class TwoUsers(errors.Malformed):
    """The credentials of one request name different users."""

    title = "The credentials name different users"

    def __init__(self) -> None:
        super().__init__("The credentials of this request belong to different users; send one of them.")


@dataclass(frozen=True)
class Credentials:
    """What a request presents: a bearer token, header tokens, or nothing."""

    bearer: str | None = field(default=None, repr=False)
    header_tokens: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return self.bearer is not None or bool(self.header_tokens)


def presented(headers: Iterable[tuple[bytes, bytes]], header_name: str) -> Credentials:
    """Read the credentials of a request; raises `Unauthenticated` for an Authorization that is no bearer token.

    ``header_name`` is the header token's, in its spelling with underscores or hyphens: nginx drops the first.
    """
    wanted = header_name.lower().replace("_", "-").encode()
    bearer: str | None = None
    tokens: list[str] = []
    for name, value in headers:
        if name == b"authorization":
            if bearer is not None:
                raise errors.Unauthenticated("More than one Authorization header was sent.", presented=True)
            bearer = _bearer(value)
        elif name.replace(b"_", b"-") == wanted:
            tokens.append(value.decode("latin-1"))
    return Credentials(bearer, tuple(dict.fromkeys(tokens)))


def _bearer(value: bytes) -> str:
    scheme, _, token = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.Unauthenticated("The Authorization header is not 'Bearer' and a token.", presented=True)
    return token.strip()


class Authenticator:
    """Finds the caller behind credentials, and remembers it for a few seconds."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._header_tokens = [(token, _expected(token)) for token in settings.http_tokens]
        self._memory: LRUCache[Credentials, tuple[Caller, float]] = LRUCache(_REMEMBERED)
        self._lock = threading.Lock()

    def check_header_tokens(self) -> None:
        """Raise `SettingsError` when a header token acts as a user who does not exist."""
        faults = [
            f"[rest_api] http_token: the token '{token.name}' acts as '{token.user}', who is no active user"
            for token, _ in self._header_tokens
            if auth_manager.user_by_name(token.user) is None
        ]
        if faults:
            raise SettingsError(faults)

    def remembered(self, credentials: Credentials) -> Caller | None:
        """Return the caller if these credentials were checked a moment ago; never blocks."""
        with self._lock:
            caller, until = self._memory.get(credentials, (None, 0.0))
        return caller if time.monotonic() < until else None

    def identify(self, credentials: Credentials) -> Caller:
        """Check every credential; return the one user whom they name. May ask the database.

        Raises `Unauthenticated` when one of them is not valid, `TwoUsers` when they disagree.
        """
        callers, until = [], time.monotonic() + REMEMBER_SECONDS
        if credentials.bearer is not None:
            caller, expires = self._by_bearer(credentials.bearer)
            callers.append(caller)
            if expires is not None:
                until = min(until, time.monotonic() + (expires - datetime.now(timezone.utc)).total_seconds())
        callers += [self._by_header(token) for token in credentials.header_tokens]
        if len({caller.id for caller in callers}) > 1:
            raise TwoUsers
        with self._lock:
            self._memory[credentials] = callers[0], until
        return callers[0]

    def _by_bearer(self, token: str) -> tuple[Caller, datetime | None]:
        if not self._tokens.is_own(token):
            return caller_of(auth_manager.user_from_airflow_token(token)), None
        claims, expires = self._tokens.user_claims(token)
        return caller_of(auth_manager.user_from_claims(claims)), expires

    def _by_header(self, value: str) -> Caller:
        # The bytes as they came: an HTTP library writes a text beyond ASCII as UTF-8, or not at all.
        given = hashlib.sha256(value.encode("latin-1")).digest()
        # All are compared, and digests only: neither the time nor an early end tells how close a guess came.
        matches = [token for token, expected in self._header_tokens if hmac.compare_digest(expected, given)]
        user = auth_manager.user_by_name(matches[0].user) if matches else None
        if user is None:
            raise errors.Unauthenticated("The header token is not valid.", presented=True)
        return caller_of(user)


def _expected(token: HeaderToken) -> bytes:
    if token.value.startswith("sha256:"):
        return bytes.fromhex(token.value.removeprefix("sha256:"))
    return hashlib.sha256(token.value.encode()).digest()
