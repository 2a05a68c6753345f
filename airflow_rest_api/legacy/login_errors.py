"""Login errors: how Flask-AppBuilder 2.3 answered a login that failed."""

from __future__ import annotations

from airflow_rest_api.services import errors

Answer = tuple[int, dict[str, str]]

NOT_JSON = "Request payload is not JSON"
MISSING = "Missing required parameter"
NOT_AUTHORIZED = "Not authorized"
FATAL = "Fatal error"
PROVIDERS = ("db", "ldap")


class ProviderNotSupported(errors.Malformed):
    """The login names a provider that there is not."""

    title = "The provider is not supported"

    def __init__(self, provider: str) -> None:
        super().__init__(f"Provider {provider} not supported")


def require_known(provider: str) -> None:
    """Raise `ProviderNotSupported` unless there is such a provider."""
    if provider not in PROVIDERS:
        raise ProviderNotSupported(provider)


def of(fault: Exception, status: int, detail: str) -> Answer:
    """Return status and body for what was raised, which version 1 would answer with this status and sentence."""
    if status in (400, 415):
        return 400, {"message": _of_body(fault)}
    if status == 401:
        return 401, {"message": NOT_AUTHORIZED}
    return status, {"message": FATAL if status == 500 else detail}


def _of_body(fault: Exception) -> str:
    """Return what is wrong with a body, by its order: is it JSON, is all there, is the provider known."""
    if isinstance(fault, ProviderNotSupported):
        return fault.detail
    return MISSING if isinstance(fault, errors.Refusal) and "errors" in fault.members else NOT_JSON
