"""Refusals of tokens: why one that was presented is not taken.

Version 1 answers all of them as one kind of problem, the old calls each with a text of its own.
"""

from __future__ import annotations

from typing import ClassVar

from airflow_rest_api.services import errors


class TokenRefused(errors.Unauthenticated):
    """A token was presented that is not taken."""

    sentence: ClassVar[str] = "The token is not valid."

    def __init__(self) -> None:
        super().__init__(self.sentence, presented=True)

    @property
    def code(self) -> str:
        """The code of `Unauthenticated`: for a client of version 1 there is one thing to do about all of them."""
        return "unauthenticated"


class TokenInvalid(TokenRefused):
    """It is no token, it was changed or signed by somebody else, or lacks what a token has to say."""


class TokenExpired(TokenRefused):
    """Its time is over."""

    sentence = "The token has expired."


class TokenRevoked(TokenRefused):
    """It was ended before its time."""

    sentence = "The token was revoked."


class RefreshTokenPresented(TokenRefused):
    """It is a refresh token, by its looks, where an access token is taken."""


class AccessTokenPresented(TokenRefused):
    """It is a good access token, where a refresh token is taken."""


class UserGone(TokenRefused):
    """The user whom it names is not there any more, or inactive."""

    sentence = "The user of this token is gone or inactive."

    def __init__(self, user_id: object) -> None:
        super().__init__()
        self.user_id = str(user_id)


class NotBearer(TokenRefused):
    """The Authorization header holds something else than one bearer token."""

    sentence = "The Authorization header is not 'Bearer' and a token."


class TwoAuthorizations(NotBearer):
    """There are two Authorization headers."""

    sentence = "More than one Authorization header was sent."
