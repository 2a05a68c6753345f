"""Identity: who sends an old call. The header token is a gate, and the user of a bearer token acts.

Clairvoyant's clients send both, and belong to nobody but the bearer's user then; a header token alone acts as the user
whom the settings give it. Without any credential nothing is answered, unlike at the old plugins.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_rest_api.legacy.calls import CLAIRVOYANT
from airflow_rest_api.legacy.failures import TokenFailed
from airflow_rest_api.security import access
from airflow_rest_api.security.authentication import Authenticator, Credentials, presented
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.token_refusals import NotBearer
from airflow_rest_api.settings import Settings
from airflow_rest_api.web.bridge import Workers
from airflow_rest_api.web.contract import Operation


class Identity:
    """Finds out who calls."""

    def __init__(self, authenticator: Authenticator, settings: Settings) -> None:
        self._authenticator = authenticator
        self._header = settings.accepted_token_header
        self._has_tokens = bool(settings.http_tokens)

    async def identify(
        self, dialect: str, headers: Iterable[tuple[bytes, bytes]], workers: Workers
    ) -> Caller:
        """Return the user; raises `TokenFailed` and `Unauthenticated`.

        Where no header tokens are set there is no gate, and clients that send one all the same are let through.
        """
        sent = self._presented(list(headers))
        if not sent and dialect == CLAIRVOYANT and self._has_tokens:
            raise TokenFailed
        caller = None
        if sent.header_tokens:
            caller = await self._by_header(Credentials(None, sent.header_tokens), workers)
        if sent.bearer is not None:
            caller = await self._checked(Credentials(sent.bearer), workers)
        if caller is None:
            raise errors.Unauthenticated("No credential was presented.")
        return caller

    def _presented(self, headers: list[tuple[bytes, bytes]]) -> Credentials:
        """Read what was sent; beside a header token, what a proxy in front had asked for is passed over."""
        try:
            return presented(headers, self._header)
        except NotBearer:
            sent = presented([entry for entry in headers if entry[0] != b"authorization"], self._header)
            if sent:
                return sent
            raise

    async def _by_header(self, sent: Credentials, workers: Workers) -> Caller:
        try:
            return await self._checked(sent, workers)
        except errors.Unauthenticated:
            raise TokenFailed from None

    async def _checked(self, sent: Credentials, workers: Workers) -> Caller:
        known = self._authenticator.remembered(sent)
        if known is not None:
            return known
        return await workers.run(self._authenticator.identify, sent)

    @staticmethod
    def admit_unread(operation: Operation, caller: Caller) -> None:
        """Let a caller send a large body who may call at all; raises `Denied`."""
        general = [rule for rule in operation.access or () if "id_from" not in rule]
        access.require(general, caller, {}, None)
