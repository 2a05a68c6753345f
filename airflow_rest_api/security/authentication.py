"""Authentication: from the credentials of a request to the one user who sent them."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from cachetools import LRUCache

from airflow_rest_api.security import auth_manager, refresh_tokens, revocations
from airflow_rest_api.security.access import caller_of
from airflow_rest_api.security.access_tokens import AccessToken, AccessTokens
from airflow_rest_api.security.keys import Keys, keyed_hash
from airflow_rest_api.security.switches import Switches
from airflow_rest_api.services import errors, token_refusals
from airflow_rest_api.services.caller import Caller, Credential
from airflow_rest_api.services.database import reading
from airflow_rest_api.settings import Settings, SettingsError

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


def presented(headers: Iterable[tuple[bytes, bytes]], header_name: str | None) -> Credentials:
    """Read the credentials of a request; raises `Unauthenticated` for an Authorization that is no bearer token.

    ``header_name`` is the header token's, in its spelling with underscores or hyphens: nginx drops the first. With
    None no header is read as a token (`Settings.accepted_token_header`).
    """
    wanted = None if header_name is None else header_name.lower().replace("_", "-").encode()
    bearer: str | None = None
    tokens: list[str] = []
    for name, value in headers:
        if name == b"authorization":
            if bearer is not None:
                raise token_refusals.TwoAuthorizations
            bearer = _bearer(value)
        elif name.replace(b"_", b"-") == wanted:
            tokens.append(value.decode("latin-1"))
    return Credentials(bearer, tuple(dict.fromkeys(tokens)))


def _bearer(value: bytes) -> str:
    scheme, _, token = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise token_refusals.NotBearer
    return token.strip()


class Authenticator:
    """Finds the caller behind credentials, and remembers it for a few seconds.

    What another replica revokes, or an administrator takes from a user, is noticed within `REMEMBER_SECONDS`; what
    this process revokes, at once (`forget`).
    """

    def __init__(self, settings: Settings, keys: Keys, tokens: AccessTokens) -> None:
        self._tokens = tokens
        self._switches = Switches.of(settings)
        self._fingerprint_key = keys.derived("fingerprints of tokens")
        self._header_tokens = [(token, token.digest) for token in settings.http_tokens]
        self._memory: LRUCache[Credentials, tuple[Caller, float]] = LRUCache(_REMEMBERED)
        self._epoch = 0
        self._lock = threading.Lock()

    def check_header_tokens(self) -> None:
        """Raise `SettingsError` when a header token acts as a user who does not exist."""
        faults = [
            f"[rest_api] http_token: the token '{token.name}' acts as '{token.user}', who is no active user"
            for token, _ in self._header_tokens
            if auth_manager.user_by_name(token.user) is None
        ]
        if faults and not auth_manager.knows_users():
            manager = auth_manager.name()
            faults = [f"[rest_api] http_token: the auth manager '{manager}' looks no users up by name"]
        if faults:
            raise SettingsError(faults)

    def remembered(self, credentials: Credentials) -> Caller | None:
        """Return the caller if these credentials were checked a moment ago; never blocks."""
        with self._lock:
            caller, until = self._memory.get(credentials, (None, 0.0))
        return caller if time.monotonic() < until else None

    def forget(self) -> None:
        """Check every credential anew: one of them has been revoked."""
        with self._lock:
            self._epoch += 1
            self._memory.clear()

    def identify(self, credentials: Credentials) -> Caller:
        """Check every credential; return the one user whom they name. May ask the database.

        Raises `Unauthenticated` when one of them is not valid, `TwoUsers` when they disagree.
        """
        epoch, until = self._epoch, time.monotonic() + REMEMBER_SECONDS
        callers = [] if credentials.bearer is None else [self._by_bearer(credentials.bearer)]
        callers += [self._by_header(token) for token in credentials.header_tokens]
        if len({caller.id for caller in callers}) > 1:
            raise TwoUsers
        expires = callers[0].credential.expires_at if callers[0].credential else None
        if expires is not None:
            until = min(until, time.monotonic() + (expires - datetime.now(timezone.utc)).total_seconds())
        with self._lock:
            # What was read before a revocation must not be remembered after it.
            if epoch == self._epoch:
                self._memory[credentials] = callers[0], until
        return callers[0]

    def _by_bearer(self, token: str) -> Caller:
        if refresh_tokens.looks_like_one(token):
            raise token_refusals.RefreshTokenPresented
        if not self._tokens.is_own(token):
            user = auth_manager.user_from_airflow_token(token)
            expires = auth_manager.expiry_of(token)
            credential = self._credential("airflow_token", token, expires_at=expires)
            return caller_of(user, credential, self._switches)
        said = self._tokens.verify(token)
        _require_alive(said)
        credential = self._credential(
            "access_token",
            token,
            expires_at=said.expires_at,
            token_id=said.token_id,
            family_id=said.family_id,
        )
        return caller_of(auth_manager.user_from_claims(said.user_claims), credential, self._switches)

    def _by_header(self, value: str) -> Caller:
        # The bytes as they came: an HTTP library writes a text beyond ASCII as UTF-8, or not at all.
        given = hashlib.sha256(value.encode("latin-1")).digest()
        # All are compared, and digests only: neither the time nor an early end tells how close a guess came.
        matches = [token for token, expected in self._header_tokens if hmac.compare_digest(expected, given)]
        user = auth_manager.user_by_name(matches[0].user) if matches else None
        if user is None:
            raise errors.Unauthenticated("The header token is not valid.", presented=True)
        credential = self._credential("header_token", value, name=matches[0].name)
        return caller_of(user, credential, self._switches)

    def _credential(self, kind: str, token: str, **facts: Any) -> Credential:
        return Credential(kind, keyed_hash(self._fingerprint_key, token)[:16], token, **facts)


def _require_alive(token: AccessToken) -> None:
    subjects = [revocations.token(token.token_id)]
    if token.family_id is not None:
        subjects.append(revocations.family(token.family_id))
    with reading() as session:
        if revocations.is_revoked(session, subjects):
            raise token_refusals.TokenRevoked
