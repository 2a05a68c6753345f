"""Credentials: the security schemes of the contract, enforced by Connexion through our authentication."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from connexion.lifecycle import ConnexionRequest
from connexion.security import NO_VALUE, AbstractSecurityHandler

from airflow_rest_api.security.authentication import Authenticator, Credentials, presented
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.web import exchange
from airflow_rest_api.web.bridge import Workers

OPAQUE = "opaque"
Check = Callable[[ConnexionRequest], Awaitable[Any]]


def security_map(authenticator: Authenticator, workers: Workers, header_name: str | None) -> dict[str, type]:
    """Return the handlers of the schemes `bearer` and `httpToken`; both check all that a request presents.

    The contract lists the schemes as alternatives, and Connexion is content with one that is valid; here every
    credential that is presented has to be.
    """

    async def identify(request: ConnexionRequest) -> Any:
        current = exchange.of(request.scope)
        if current.refusal is not None:
            # Connexion asks for each scheme of the alternatives, also after one has refused.
            raise current.refusal
        try:
            credentials = presented(request.scope["headers"], header_name)
            if not credentials:
                return NO_VALUE
            caller = authenticator.remembered(credentials) or await workers.run(
                authenticator.identify, credentials
            )
        except errors.Refusal as refusal:
            current.refusal = refusal
            raise
        current.caller = caller
        current.identify_again = partial(_again, authenticator, credentials)
        return {"sub": caller}

    async def leave(_: ConnexionRequest) -> Any:
        return NO_VALUE

    class BearerHandler(AbstractSecurityHandler):
        """Bearer tokens; an opaque one is a refresh token, which its operation checks itself."""

        def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Check:
            return leave if security_scheme.get("bearerFormat") == OPAQUE else identify

    class HeaderHandler(AbstractSecurityHandler):
        """The header token."""

        def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Check:
            return identify

    return {"bearer": BearerHandler, "apiKey": HeaderHandler}


def identified_map() -> dict[str, type]:
    """Return the handlers of the same schemes for old calls, of which the router has asked who calls."""

    async def identified(request: ConnexionRequest) -> Any:
        caller = exchange.of(request.scope).caller
        return NO_VALUE if caller is None else {"sub": caller}

    class Handler(AbstractSecurityHandler):
        """Either scheme."""

        def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Check:
            return identified

    return {"bearer": Handler, "apiKey": Handler}


def _again(authenticator: Authenticator, credentials: Credentials) -> Caller:
    return authenticator.remembered(credentials) or authenticator.identify(credentials)
