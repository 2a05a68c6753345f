"""Access tokens: short-lived JWTs of this service's own, by flask-jwt-extended."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException

from airflow_rest_api.security.keys import Keys
from airflow_rest_api.services.token_refusals import TokenExpired, TokenInvalid

ISSUER = "airflow-rest-api"
AUDIENCE = "airflow-rest-api"
ALGORITHM = "HS256"
TOKEN_TYPE = "at+jwt"  # RFC 9068
_CLAIMS = {"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type"}
_USER, _FAMILY = "airflow_user", "sid"


@dataclass(frozen=True)
class AccessToken:
    """What a verified token says; ``family_id`` is that of the refresh token it came with, if any."""

    token_id: str
    family_id: str | None
    user_claims: dict[str, Any]
    expires_at: datetime


class AccessTokens:
    """Issues and verifies access tokens."""

    def __init__(self, keys: Keys, life: timedelta) -> None:
        self.life = life
        self._application = Flask(f"{__name__}.keys")
        self._application.config.update(
            JWT_SECRET_KEY=keys.derived("access token").hex(),
            JWT_ALGORITHM=ALGORITHM,
            JWT_TOKEN_LOCATION=["headers"],
            JWT_DECODE_ALGORITHMS=[ALGORITHM],
            JWT_ENCODE_ISSUER=ISSUER,
            JWT_DECODE_ISSUER=ISSUER,
            JWT_ENCODE_AUDIENCE=AUDIENCE,
            JWT_DECODE_AUDIENCE=AUDIENCE,
            JWT_ACCESS_TOKEN_EXPIRES=life,
        )
        JWTManager(self._application)

    def issue(self, user_claims: Mapping[str, Any], family_id: str | None = None) -> str:
        """Return a new token for the user with these claims of the auth manager."""
        # Without dashes: Airflow's table of revoked tokens holds ids of 32 characters, and so does ours.
        claims: dict[str, Any] = {_USER: dict(user_claims), "jti": uuid.uuid4().hex}
        if family_id is not None:
            claims[_FAMILY] = family_id
        with self._application.app_context():
            token: str = create_access_token(
                identity=str(user_claims["sub"]),
                additional_claims=claims,
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

    def verify(self, token: str) -> AccessToken:
        """Verify one of our tokens; raises `Unauthenticated` for one that is expired, forged, or lacks a claim."""
        try:
            with self._application.app_context():
                claims = decode_token(token)
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.InvalidTokenError, JWTExtendedException, ValueError, TypeError):
            raise TokenInvalid from None
        # flask-jwt-extended gives a token what it lacks; so the claims are counted in the token itself.
        sent = jwt.decode(token, options={"verify_signature": False})
        family = sent.get(_FAMILY)
        if not sent.keys() >= _CLAIMS or claims["type"] != "access":
            raise TokenInvalid
        if not isinstance(claims.get(_USER), dict) or not isinstance(family, (str, type(None))):
            raise TokenInvalid
        expires = datetime.fromtimestamp(claims["exp"], timezone.utc)
        return AccessToken(str(sent["jti"]), family, claims[_USER], expires)
