"""Mishaps: what went wrong in the middle of a call, which the old plugins told with 500 and what they were doing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_rest_api.legacy.failures import Failed
from airflow_rest_api.services import errors


@contextmanager
def while_trying_to(doing: str) -> Iterator[None]:
    """Raise a refusal as `Failed`, with ``doing`` in front: `Refresh the DAG 'etl'`.

    Who may not do it is told so, and who comes at a bad moment as well: that is no fault of what was asked for.
    """
    try:
        yield
    except (errors.Denied, errors.Unavailable, errors.TooManyRequests):
        raise
    except errors.Refusal as refusal:
        raise Failed(f"An error occurred while trying to {doing}: {refusal.detail}") from refusal
