"""Instants: the date-times of request bodies, which the contract has found well-formed."""

from __future__ import annotations

from datetime import datetime

from dateutil import parser


def parse(text: str) -> datetime:
    """Read a date-time of ISO 8601 that names its zone, as `web/schemas.py` accepts it."""
    moment: datetime = parser.isoparse(text.replace(" ", "T").upper())
    return moment


def parse_optional(text: str | None) -> datetime | None:
    """Read a date-time, or pass on that there is none."""
    return None if text is None else parse(text)
