"""Faults: everything that keeps the service from starting, found in one go and told in one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from connexion.exceptions import InvalidSpecification

from airflow_rest_api.security.keys import SecretMissing
from airflow_rest_api.services import errors
from airflow_rest_api.settings import SettingsError
from airflow_rest_api.storage.manager import DatabaseAway, NotMigrated
from airflow_rest_api.web import routing, schemas
from airflow_rest_api.web.contract import ContractError

Result = TypeVar("Result")


class StartError(Exception):
    """The service cannot start; ``faults`` has one line for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Faults:
    """Collects what is wrong while the application is put together.

    An administrator who mends one line to be told the next one starts the service many times.
    """

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, lines: Iterable[str]) -> None:
        """Add these lines, each of them once."""
        self._lines.update(dict.fromkeys(" ".join(line.split()) for line in lines))

    def attempt(self, work: Callable[[], Result], instead: Result) -> Result:
        """Do one part of the start; ``instead`` stands in for the result of one that fails, to look further."""
        try:
            return work()
        except (SettingsError, StartError) as fault:
            self.add(fault.faults)
        except (errors.DatabaseUnavailable, DatabaseAway):
            self.add([str(DatabaseAway())])
        except (
            ContractError,
            InvalidSpecification,
            NotMigrated,
            SecretMissing,
            errors.Refusal,
            routing.HandlerError,
            schemas.BrokenSchema,
        ) as fault:
            self.add([str(fault)])
        return instead

    def refuse(self) -> None:
        """Raise `StartError` when anything is wrong."""
        if self._lines:
            raise StartError(list(self._lines))
