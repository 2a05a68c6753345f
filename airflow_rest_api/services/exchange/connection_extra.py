"""Connection extras: how files hold an extra that is not a JSON object, which Airflow 2 could store.

It is written as an object with the one field `__extra__`, Airflow's own name for an extra as it is stored (`get_uri`).
"""

from __future__ import annotations

import json
from typing import Any

from airflow.models.connection import Connection

_AS_STORED: str = Connection.EXTRA_KEY


def is_object(text: str) -> bool:
    """Return whether an extra is a JSON object, as Airflow 3 requires."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def written(extra: str | None) -> Any:
    """Return what stands for a stored extra in a file."""
    return extra if not extra or is_object(extra) else {_AS_STORED: extra}


def as_stored(value: Any) -> str | None:
    """Return the extra that `written` wrapped, None for any other value."""
    if isinstance(value, dict) and value.keys() == {_AS_STORED}:
        text = value[_AS_STORED]
        return text if isinstance(text, str) else None
    return None
