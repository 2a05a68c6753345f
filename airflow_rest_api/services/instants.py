"""Instants: the date-times of request bodies, which the contract has found well-formed, and those of command lines."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from airflow._shared.timezones import timezone as airflows
from dateutil import parser

# A plus sign that was not encoded arrives as a space, and dateutil would take the zone for the time of day.
_LOST_PLUS = re.compile(r"(?<=\d[T ]\d\d:\d\d)(:\d\d(?:\.\d+)?)? (\d\d:?\d\d)$")


def parse(text: str) -> datetime:
    """Read a date-time of ISO 8601 that names its zone, as `web/schemas.py` accepts it."""
    moment: datetime = parser.isoparse(text.replace(" ", "T").upper())
    return moment


def parse_optional(text: str | None) -> datetime | None:
    """Read a date-time, or pass on that there is none."""
    return None if text is None else parse(text)


def parse_freely(text: str) -> datetime:
    """Read a date or a date-time in whatever form Airflow's command line takes it.

    Without a zone it is in Airflow's default one. Raises `ValueError`, also for what lies beyond the calendar in UTC.
    """
    try:
        moment = airflows.parse(_LOST_PLUS.sub(r"\1+\2", text.strip()))
        if isinstance(moment, datetime):
            moment.astimezone(timezone.utc)
            # A plain one: pendulum's are of a class of their own, as are those of its zones.
            return datetime.fromisoformat(moment.isoformat())
    except (OverflowError, TypeError, AttributeError, RecursionError) as fault:
        raise ValueError(f"no date: {text!r}") from fault
    raise ValueError(f"no date: {text!r}")
