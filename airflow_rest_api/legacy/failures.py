"""Failures: what the old plugins refused in words that their clients know."""

from __future__ import annotations

from airflow_rest_api.services import errors

# What a command of Airflow 1 printed, and the call survived.
PRINTED = (
    errors.Malformed,
    errors.NotFound,
    errors.Conflict,
    errors.PreconditionFailed,
    errors.Unprocessable,
)


class OldFailure(errors.Refusal):
    """A refusal with the text of an old plugin, answered with ``status`` whatever the call."""

    status = 500
    title = "The call failed"


class BadRequest(OldFailure):
    """What was sent cannot mean anything."""

    status = 400


class TokenFailed(OldFailure):
    """The header token is missing, or not the one."""

    status = 403

    def __init__(self) -> None:
        super().__init__("Token Authentication Failed")


class Unsafe(OldFailure):
    """A change that a browser asks for, and perhaps nobody wants."""

    status = 403


class Missing(OldFailure):
    """What the call names is not there."""

    status = 404


class Failed(OldFailure):
    """The call was understood and failed; the old plugins said so with 500."""


class Printed(errors.Unprocessable):
    """A command of Airflow 1 that failed: the old plugin answered 200 with what the command had printed."""

    title = "The command failed"

    def __init__(self, stderr: str, stdout: str = "") -> None:
        super().__init__(stderr)
        self.stdout = stdout
