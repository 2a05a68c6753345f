"""This service's own tokens: access tokens (JWT, by flask-jwt-extended) and refresh tokens (opaque, stored as hashes).

The keys are derived from Airflow's `[api_auth] jwt_secret` and never equal to it: with one key for both, Airflow
takes a refresh token of thirty days for a session of its own, because it does not look at a token's type.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.configuration import option
from airflow_rest_api.services.database import write
from airflow_rest_api.settings import Settings
from airflow_rest_api.storage.tables import refresh_token as table

ISSUER = "airflow-rest-api"
AUDIENCE = "airflow-rest-api"
ALGORITHM = "HS256"
TOKEN_TYPE = "at+jwt"  # RFC 9068
REUSE_GRACE = timedelta(seconds=10)
_CLAIMS = {"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type"}
_USER = "airflow_user"


class SecretMissing(Exception):
    """There is no key to sign tokens with."""

    def __init__(self) -> None:
        super().__init__(
            "[api_auth] jwt_secret is not set: without it every process signs with a key of its own;"
            " set it, or [rest_api] jwt_secret"
        )


class InvalidRefreshToken(errors.Unauthenticated):
    """The refresh token is unknown, expired, revoked or spent."""

    title = "The refresh token is not valid"

    def __init__(self) -> None:
        super().__init__(
            "The refresh token is unknown, expired, revoked or spent; log in again.", presented=True
        )


def _derived(secret: str, purpose: bytes) -> bytes:
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"airflow-rest-api", info=purpose)
    return kdf.derive(secret.encode())


class Tokens:
    """Issues and checks this service's tokens."""

    def __init__(self, settings: Settings) -> None:
        """Derive the keys; raises `SecretMissing`."""
        secret = settings.jwt_secret or option("api_auth", "jwt_secret")
        if not secret:
            raise SecretMissing
        self._refresh_key = _derived(secret, b"refresh token succession")
        self._refresh_life = timedelta(days=settings.refresh_token_days)
        self._application = Flask(f"{__name__}.keys")
        self._application.config.update(
            JWT_SECRET_KEY=_derived(secret, b"access token").hex(),
            JWT_ALGORITHM=ALGORITHM,
            JWT_TOKEN_LOCATION=["headers"],
            JWT_DECODE_ALGORITHMS=[ALGORITHM],
            JWT_ENCODE_ISSUER=ISSUER,
            JWT_DECODE_ISSUER=ISSUER,
            JWT_ENCODE_AUDIENCE=AUDIENCE,
            JWT_DECODE_AUDIENCE=AUDIENCE,
            JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=settings.access_token_minutes),
        )
        JWTManager(self._application)

    def issue_access_token(self, claims: Mapping[str, Any]) -> str:
        """Return a new access token for the user with these claims of the auth manager."""
        with self._application.app_context():
            token: str = create_access_token(
                identity=str(claims["sub"]),
                additional_claims={_USER: dict(claims), "jti": uuid.uuid4().hex},
                additional_headers={"typ": TOKEN_TYPE},
            )
        return token

    def is_own(self, token: str) -> bool:
        """Tell whether a token claims to be ours; nothing is verified."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            return False
        return header.get("typ") == TOKEN_TYPE and header.get("alg") == ALGORITHM

    def user_claims(self, token: str) -> tuple[dict[str, Any], datetime]:
        """Verify one of our access tokens; return the user's claims and the time at which it expires.

        Raises `Unauthenticated` for a token that is expired, forged, or lacks a claim.
        """
        try:
            with self._application.app_context():
                claims = decode_token(token)
        except jwt.ExpiredSignatureError:
            raise errors.Unauthenticated("The token has expired.", presented=True) from None
        except (jwt.InvalidTokenError, JWTExtendedException, ValueError, TypeError):
            raise errors.Unauthenticated("The token is not valid.", presented=True) from None
        # flask-jwt-extended gives a token what it lacks; so the claims are counted in the token itself.
        sent = jwt.decode(token, options={"verify_signature": False})
        if (
            not sent.keys() >= _CLAIMS
            or claims["type"] != "access"
            or not isinstance(claims.get(_USER), dict)
        ):
            raise errors.Unauthenticated("The token is not valid.", presented=True)
        return claims[_USER], datetime.fromtimestamp(claims["exp"], timezone.utc)

    def issue_refresh_token(self, claims: Mapping[str, Any], user_name: str) -> str:
        """Store and return the first refresh token of a new family."""
        token = secrets.token_urlsafe(32)

        def work(session: Session) -> None:
            session.execute(delete(table).where(table.c.expires_at < _now()))
            session.execute(insert(table).values(self._row(token, uuid.uuid4().hex, claims, user_name)))

        write(work)
        return token

    def rotate(self, token: str) -> tuple[str, dict[str, Any]]:
        """Spend a refresh token; return its successor and the user's claims.

        The successor is a function of the token: who repeats the call within `REUSE_GRACE` (the answer was lost)
        gets the same one. A later repetition means that the token was stolen, and ends the family
        (RFC 9700 section 4.14.2). Raises `InvalidRefreshToken`.
        """
        outcome = write(lambda session: self._rotated(session, token))
        if outcome is None:
            raise InvalidRefreshToken
        return outcome

    def _rotated(self, session: Session, token: str) -> tuple[str, dict[str, Any]] | None:
        now, digest = _now(), _digest(token)
        first = session.execute(
            update(table)
            .where(table.c.token_hash == digest, table.c.used_at.is_(None), table.c.revoked_at.is_(None))
            .where(table.c.expires_at > now)
            .values(used_at=now)
        )
        row = session.execute(select(table).where(table.c.token_hash == digest)).one_or_none()
        if row is None or row.revoked_at is not None or row.expires_at <= now:
            return None
        successor = self._successor(token)
        if first.rowcount == 1:  # type: ignore[attr-defined]
            values = self._row(successor, row.family_id, row.user_claims, row.user_name)
            session.execute(insert(table).values(values))
        elif now - row.used_at > REUSE_GRACE:
            session.execute(update(table).where(table.c.family_id == row.family_id).values(revoked_at=now))
            return None
        return successor, row.user_claims

    def _successor(self, token: str) -> str:
        mac = hmac.digest(self._refresh_key, token.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    def _row(self, token: str, family: str, claims: Mapping[str, Any], user_name: str) -> dict[str, Any]:
        now = _now()
        return {
            "token_hash": _digest(token),
            "family_id": family,
            "user_claims": dict(claims),
            "user_name": user_name,
            "created_at": now,
            "expires_at": now + self._refresh_life,
        }


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
