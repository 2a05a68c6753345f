"""Token errors: how flask-jwt-extended 3.24, which both plugins used, answered a token that it did not take."""

from __future__ import annotations

import jwt

from airflow_rest_api.services.token_refusals import (
    AccessTokenPresented,
    NotBearer,
    RefreshTokenPresented,
    TokenExpired,
    TokenRefused,
    TokenRevoked,
    UserGone,
)

Answer = tuple[int, dict[str, str]]

MISSING = "Missing Authorization Header"
NOT_BEARER = "Bad Authorization header. Expected value 'Bearer <JWT>'"
_TEXTS: dict[type[Exception], tuple[int, str]] = {
    TokenExpired: (401, "Token has expired"),
    TokenRevoked: (401, "Token has been revoked"),
    RefreshTokenPresented: (422, "Only access tokens are allowed"),
    AccessTokenPresented: (422, "Only refresh tokens are allowed"),
}
_FORGED = (422, "Signature verification failed")


def of(fault: Exception, authorization: bytes | None) -> Answer:
    """Return status and body for a request of whom nobody knows, by its Authorization header and what was raised."""
    words = (authorization or b"").split()
    if not words and not isinstance(fault, NotBearer):
        return 401, {"msg": MISSING}
    # What is sent and yet not seen as a token is no header to read one from.
    is_token = isinstance(fault, TokenRefused) and not isinstance(fault, NotBearer)
    if not is_token or len(words) != 2 or words[0].lower() != b"bearer":
        return 422, {"msg": NOT_BEARER}
    status, text = _of_token(fault, words[1])
    return status, {"msg": text}


def _of_token(fault: Exception, token: bytes) -> tuple[int, str]:
    if isinstance(fault, UserGone):
        return 401, f"Error loading the user {fault.user_id}"
    if type(fault) in _TEXTS:
        return _TEXTS[type(fault)]
    try:
        jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as crooked:
        # It can be no token at all, and the library tells what it lacks.
        return 422, str(crooked)
    return _FORGED
