"""Reports: what the work of an operation tells of itself while it goes on, kept in the operation's row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services.database import write
from airflow_rest_api.services.operation import RUNNING
from airflow_rest_api.storage.tables import operation as table

Json = dict[str, Any]

LOG_CHARACTERS = 16_000


class Stopped(Exception):
    """The work was cancelled, or is another's by now."""


class Report:
    """What work tells of itself while it goes on; every call may end it with `Stopped`."""

    def __init__(self, operation_id: str, worker: str, told: Sequence[Json] = ()) -> None:
        """Go on after the items that were ``told`` already."""
        self._mine = (table.c.id == operation_id, table.c.worker == worker, table.c.state == RUNNING)
        self._items: list[Json] = list(told)
        self._log = ""
        self._done = len(self._items)

    @property
    def told(self) -> tuple[Json, ...]:
        """What has been told of items so far, also by those who carried the operation out before."""
        return tuple(self._items)

    def expect(self, total: int) -> None:
        """Say how many items there are."""
        self._write({"total": total})

    def item(self, **result: Any) -> None:
        """Say what became of one item."""
        self.items([result])

    def items(self, results: Sequence[Json]) -> None:
        """Say what became of several items at once."""
        self._items += results
        self._done += len(results)
        self._write({"done": self._done, "items": list(self._items)})

    def do(self, work: Callable[[Session], Sequence[Json]]) -> None:
        """Do ``work`` and say, in the same transaction, what became of the items that it returns.

        It is undone when the operation is cancelled, or another's by now.
        """

        def both(session: Session) -> list[Json]:
            told = [*self._items, *work(session)]
            if not self._update(session, {"done": len(told), "items": told}):
                raise Stopped
            return told

        self._items = write(both)
        self._done = len(self._items)

    def show(self, items: Sequence[Json], done: int) -> None:
        """Say how all items stand, of which so many have come to their end, in place of what was said before."""
        self._items, self._done = list(items), done
        self._write({"done": done, "items": self._items})

    def line(self, text: str) -> None:
        """Add a line to the log, of which the end is kept."""
        self._log = f"{self._log}{text}\n"[-LOG_CHARACTERS:]
        self._write({"log": self._log})

    def text(self, text: str) -> None:
        """Put a text in the place of the log, of which the end is kept."""
        self._log = text[-LOG_CHARACTERS:]
        self._write({"log": self._log})

    def check(self) -> None:
        """Raise `Stopped` when the work is cancelled."""
        self._write({"done": self._done})

    def _write(self, values: Json) -> None:
        if not write(lambda session: self._update(session, values)):
            raise Stopped

    def _update(self, session: Session, values: Json) -> bool:
        """Write, and tell whether the work is to go on."""
        session.execute(update(table).where(*self._mine).values(**values))
        return session.scalar(select(table.c.is_cancelled).where(*self._mine)) is False
