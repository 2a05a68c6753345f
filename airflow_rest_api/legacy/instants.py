"""Instants: dates of old calls, which Airflow 1 read from a command line."""

from __future__ import annotations

from datetime import datetime

from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import instants


def parse(text: str, argument: str) -> datetime:
    """Read a date, naive ones in Airflow's default zone; raises `Printed` in the words of the old command."""
    try:
        return instants.parse_freely(text)
    except ValueError:
        raise Printed(f"error: argument {argument}: invalid parse value: {text!r}") from None
