"""Dry runs: what a change would do, found out by doing it in a transaction that is not committed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy.orm import Session

from airflow_rest_api.services.database import write

Result = TypeVar("Result")


class _Undo(Exception):
    """Ends the transaction of a dry run."""


def undone(work: Callable[[Session], Result]) -> Result:
    """Run ``work`` as `write` does, roll everything back, and return what it returned; raises what it raises."""
    results: list[Result] = []

    def attempt(session: Session) -> None:
        results[:] = [work(session)]
        raise _Undo

    with suppress(_Undo):
        write(attempt)
    return results[0]
