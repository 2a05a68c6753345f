"""Refresh tokens: opaque, stored as hashes, each good for one renewal (RFC 9700 section 4.14.2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.security import revocations
from airflow_rest_api.security.keys import Keys
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.token_refusals import TokenExpired, TokenRevoked
from airflow_rest_api.storage.tables import refresh_token as table

REUSE_GRACE = timedelta(seconds=10)
# 32 bytes in base64, which no JWT is: that has dots.
_LOOKS = re.compile(r"[A-Za-z0-9_-]{43}")


class InvalidRefreshToken(errors.Unauthenticated):
    """The refresh token is unknown, expired, revoked or spent."""

    title = "The refresh token is not valid"

    def __init__(self) -> None:
        super().__init__(
            "The refresh token is unknown, expired, revoked or spent; log in again.", presented=True
        )


def looks_like_one(token: str) -> bool:
    """Tell whether a token may be a refresh token of this service; nothing is looked up."""
    return _LOOKS.fullmatch(token) is not None


@dataclass(frozen=True)
class Issued:
    """A refresh token, the family that it belongs to, and the claims of its user at the login."""

    token: str
    family_id: str
    user_claims: dict[str, Any]


class RefreshTokens:
    """Issues refresh tokens, and spends them."""

    def __init__(self, keys: Keys, life: timedelta) -> None:
        self.life = life
        self._key = keys.derived("refresh token succession")

    def issue(self, user_claims: Mapping[str, Any], user_name: str) -> Issued:
        """Store and return the first refresh token of a new family."""
        issued = Issued(secrets.token_urlsafe(32), uuid.uuid4().hex, dict(user_claims))

        def work(session: Session) -> None:
            session.execute(delete(table).where(table.c.expires_at < _now()))
            session.execute(insert(table).values(self._row(issued, user_name)))

        write(work)
        return issued

    def rotate(self, token: str) -> Issued:
        """Spend a refresh token; return its successor.

        The successor is a function of the token: who repeats the call within `REUSE_GRACE` (the answer was lost)
        gets the same one. A later repetition means that the token was stolen, and ends the family. Raises
        `InvalidRefreshToken`.
        """
        try:
            successor = write(lambda session: self._rotated(session, token))
        except errors.AlreadyExists:
            # Another call with a spent token has just ended the family.
            raise InvalidRefreshToken from None
        if successor is None:
            raise InvalidRefreshToken
        return successor

    def verify(self, token: str) -> Issued:
        """Return what belongs to a refresh token, which is good afterwards as it was before.

        One that was spent is good no more and, as for `rotate`, stolen once `REUSE_GRACE` is over. What is returned may
        have been ended since: an access token has to name the family. Raises `TokenExpired` and `TokenRevoked`.
        """
        now = _now()
        with reading() as session:
            row = session.execute(select(table).where(table.c.token_hash == _digest(token))).one_or_none()
            if row is None or row.expires_at <= now:
                # The two cannot be told apart: what has expired is forgotten by and by.
                raise TokenExpired
            if revocations.is_revoked(session, [revocations.family(row.family_id)]):
                raise TokenRevoked
        if row.used_at is None:
            return Issued(token, row.family_id, row.user_claims)
        if now - row.used_at > REUSE_GRACE:
            self._end(row.family_id, now + self.life)
        raise TokenRevoked

    @staticmethod
    def _end(family_id: str, until: datetime) -> None:
        # Another call may end the family at the same time.
        with suppress(errors.AlreadyExists):
            write(lambda session: revocations.revoke(session, revocations.family(family_id), until))

    def _rotated(self, session: Session, token: str) -> Issued | None:
        now, digest = _now(), _digest(token)
        # One statement decides who is first, whatever comes at the same time.
        first = session.execute(
            update(table)
            .where(table.c.token_hash == digest, table.c.used_at.is_(None), table.c.expires_at > now)
            .values(used_at=now)
        )
        row = session.execute(select(table).where(table.c.token_hash == digest)).one_or_none()
        if row is None or row.expires_at <= now:
            return None
        # Asked after the update: who ends the family at this moment finds no successor to end, but leaves this.
        if revocations.is_revoked(session, [revocations.family(row.family_id)]):
            return None
        successor = Issued(self._successor(token), row.family_id, row.user_claims)
        if first.rowcount == 1:  # type: ignore[attr-defined]
            session.execute(insert(table).values(self._row(successor, row.user_name)))
        elif now - row.used_at > REUSE_GRACE:
            revocations.revoke(session, revocations.family(row.family_id), now + self.life)
            return None
        return successor

    def _successor(self, token: str) -> str:
        mac = hmac.digest(self._key, token.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    def _row(self, issued: Issued, user_name: str) -> dict[str, Any]:
        now = _now()
        return {
            "token_hash": _digest(issued.token),
            "family_id": issued.family_id,
            "user_claims": issued.user_claims,
            "user_name": user_name,
            "created_at": now,
            "expires_at": now + self.life,
        }


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
