"""Sessions: logging in, and staying logged in."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.security import auth_manager
from airflow_rest_api.security.tokens import InvalidRefreshToken, Tokens
from airflow_rest_api.services import errors


class RefreshTokenMissing(errors.Malformed):
    """Neither the Authorization header nor the body carries a refresh token."""

    title = "The refresh token is missing"

    def __init__(self) -> None:
        super().__init__(
            "Send the refresh token as 'Authorization: Bearer', or as the body's field 'refresh_token'."
        )


class Sessions:
    """Exchanges passwords and refresh tokens for access tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def login(self, username: str, password: str, provider: str, *, refresh: bool) -> dict[str, str]:
        """Return an access token, and a refresh token if asked for; raises `LoginFailed`, `LoginNotSupported`."""
        user = auth_manager.log_in(username, password, provider)
        claims = auth_manager.claims_of(user)
        answer = {"access_token": self._tokens.issue_access_token(claims)}
        if refresh:
            answer["refresh_token"] = self._tokens.issue_refresh_token(claims, user.get_name())
        return answer

    def refresh(self, bearer: str | None, body: dict[str, Any]) -> dict[str, str]:
        """Spend a refresh token; return a new access token and the successor. Raises `InvalidRefreshToken`."""
        token = bearer or body.get("refresh_token")
        if not token:
            raise RefreshTokenMissing
        successor, claims = self._tokens.rotate(token)
        try:
            user = auth_manager.user_from_claims(claims)
        except errors.Unauthenticated:
            raise InvalidRefreshToken from None
        access_token = self._tokens.issue_access_token(auth_manager.claims_of(user))
        return {"access_token": access_token, "refresh_token": successor}
