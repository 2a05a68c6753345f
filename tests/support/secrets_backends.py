"""Secrets backends for tests, of every kind of behaviour; `[secrets] backend` names one of them."""

from __future__ import annotations

import threading
from typing import Any

from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
from airflow.secrets import BaseSecretsBackend

# What the failing backend says, which nobody may hear.
WHISPERED = "token-of-the-failing-backend"


class HoldingBackend(BaseSecretsBackend):
    """Has what it was given as `variables`."""

    def __init__(self, variables: dict[str, str] | None = None) -> None:
        self.variables = variables or {}

    def get_variable(self, key: str, team_name: str | None = None) -> Any:
        return self.variables.get(key)


class FailingBackend(BaseSecretsBackend):
    """Raises what tells a secret."""

    def get_variable(self, key: str, team_name: str | None = None) -> Any:
        raise RuntimeError(WHISPERED)


class DenyingBackend(BaseSecretsBackend):
    """Lets nobody read anything."""

    def get_variable(self, key: str, team_name: str | None = None) -> Any:
        raise AirflowSecretsBackendAccessDenied(WHISPERED)


class HangingBackend(BaseSecretsBackend):
    """Answers when `released`, which a test sets."""

    released = threading.Event()

    def get_variable(self, key: str, team_name: str | None = None) -> Any:
        self.released.wait(30)


class BrokenBackend(BaseSecretsBackend):
    """Cannot be made."""

    def __init__(self) -> None:
        raise ValueError(WHISPERED)
