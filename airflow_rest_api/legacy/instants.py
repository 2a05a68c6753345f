"""Instants: dates of old calls, which Airflow 1 read from a command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import instants

# More than the number of concurrent calls.
_ATTEMPTS = 50


def parse(text: str, argument: str) -> datetime:
    """Read a date, naive ones in Airflow's default zone; raises `Printed` in the words of the old command."""
    try:
        return instants.parse_freely(text)
    except ValueError:
        raise Printed(f"error: argument {argument}: invalid parse value: {text!r}") from None


def present() -> Iterator[datetime]:
    """Yield the current time for each attempt to trigger a run: another call may have taken the logical date."""
    for _ in range(_ATTEMPTS):
        yield datetime.now(timezone.utc)
