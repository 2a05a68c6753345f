"""Sessions: logging in, staying logged in, and logging out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from airflow_rest_api.security import auth_manager, refresh_tokens, revocations
from airflow_rest_api.security.access_tokens import AccessTokens
from airflow_rest_api.security.login_limits import LoginLimits
from airflow_rest_api.security.refresh_tokens import InvalidRefreshToken, RefreshTokens
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller, Credential
from airflow_rest_api.services.database import write
from airflow_rest_api.services.token_refusals import AccessTokenPresented


class RefreshTokenMissing(errors.Malformed):
    """Neither the Authorization header nor the body carries a refresh token."""

    title = "The refresh token is missing"

    def __init__(self) -> None:
        super().__init__(
            "Send the refresh token as 'Authorization: Bearer', or as the body's field 'refresh_token'."
        )


class NothingToLogOut(errors.Conflict):
    """The credential is no token that a login made, so no logout ends it."""

    title = "There is nothing to log out of"

    def __init__(self) -> None:
        super().__init__(
            "A header token belongs to no login; it is ended by the administrator who configured it."
        )


class Sessions:
    """Exchanges passwords and refresh tokens for access tokens, and ends them."""

    def __init__(
        self,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        login_limits: LoginLimits,
        on_logout: Callable[[], None],
    ) -> None:
        """Take what to do in this process, beside the database, when a token was ended."""
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._login_limits = login_limits
        self._on_logout = on_logout

    def login(
        self, username: str, password: str, provider: str, *, refresh: bool, client: str
    ) -> dict[str, str]:
        """Return an access token, and a refresh token if asked for, to the address ``client``.

        Raises `LoginFailed`, `LoginNotSupported` and `TooManyLogins`.
        """
        with self._login_limits.attempt(username, client) as admitted:
            if not admitted:
                auth_manager.refuse(username)
            user = auth_manager.log_in(username, password, provider)
        claims = auth_manager.claims_of(user)
        if not refresh:
            return {"access_token": self._access_tokens.issue(claims)}
        issued = self._refresh_tokens.issue(claims, user.get_name())
        access_token = self._access_tokens.issue(claims, issued.family_id)
        return {"access_token": access_token, "refresh_token": issued.token}

    def refresh(self, bearer: str | None, body: dict[str, Any]) -> dict[str, str]:
        """Spend a refresh token; return a new access token and the successor. Raises `InvalidRefreshToken`."""
        # Generated clients send the access token that they are configured with as the bearer token.
        token = body.get("refresh_token") or bearer
        if not token:
            raise RefreshTokenMissing
        successor = self._refresh_tokens.rotate(token)
        try:
            user = auth_manager.user_from_claims(successor.user_claims)
        except errors.Unauthenticated:
            raise InvalidRefreshToken from None
        access_token = self._access_tokens.issue(auth_manager.claims_of(user), successor.family_id)
        return {"access_token": access_token, "refresh_token": successor.token}

    def renew(self, bearer: str | None) -> dict[str, str]:
        """Return a new access token for a refresh token that is not spent by it, as Airflow 1 did.

        Raises `Unauthenticated`, of a token that is not taken `TokenRefused`.
        """
        if bearer is None:
            raise errors.Unauthenticated("No credential was presented.")
        if not refresh_tokens.looks_like_one(bearer):
            self._refuse_access_token(bearer)
        found = self._refresh_tokens.verify(bearer)
        user = auth_manager.user_from_claims(found.user_claims)
        return {"access_token": self._access_tokens.issue(auth_manager.claims_of(user), found.family_id)}

    def _refuse_access_token(self, token: str) -> NoReturn:
        """Raise what is wrong with it as an access token, or that it is one."""
        if self._access_tokens.is_own(token):
            self._access_tokens.verify(token)
        else:
            auth_manager.user_from_airflow_token(token)
        raise AccessTokenPresented

    def logout(self, caller: Caller) -> None:
        """End the token that the caller presented, and every token that came of the same login.

        Airflow's own token is revoked with Airflow, for both services. Raises `NothingToLogOut`, and whatever the
        database refuses: a logout that did not happen is never answered as one.
        """
        credential = caller.credential
        if credential is None or credential.kind == "header_token":
            raise NothingToLogOut
        if credential.kind == "airflow_token":
            auth_manager.revoke(credential.token)
        else:
            self._revoke(credential)
        self._on_logout()

    def _revoke(self, credential: Credential) -> None:
        now = datetime.now(timezone.utc)

        def work(session: Session) -> None:
            if credential.token_id is not None:
                until = now + self._access_tokens.life
                revocations.revoke(session, revocations.token(credential.token_id), until)
            if credential.family_id is not None:
                until = now + self._refresh_tokens.life
                revocations.revoke(session, revocations.family(credential.family_id), until)

        try:
            write(work)
        except errors.AlreadyExists:
            # Another call has logged out of the same login at the same time, and its rows are the same.
            return
