"""Dates as eBay's plugin wrote them: in UTC, always with microseconds, the offset without a colon."""

from __future__ import annotations

from datetime import datetime, timezone


def told(instant: datetime | None) -> str | None:
    """Return a date as `2020-10-28T16:15:19.436693+0000`, or None where there is none."""
    if instant is None:
        return None
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f%z")
