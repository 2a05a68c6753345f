"""Task instance pages: one page of a list of task instances, by offset or by cursor, and how many there are.

Task instances are many and their rows are wide. The page is found among the sort columns and the id alone,
and only its rows are read whole. Counting reads an index alone wherever it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow.models.dag import DagModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, Select

from airflow_rest_api.services.caller import DagScope
from airflow_rest_api.services.lists import cursor_page, listing, ordering
from airflow_rest_api.services.lists.cursor_page import Row, Rows
from airflow_rest_api.services.lists.ordering import Cursor, SortKey
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_rows import (
    RUN,
    SAME_RUN,
    TASK_INSTANCE,
    WIDTH,
    Entry,
)

_DAG = DagModel.__table__
_ID = TASK_INSTANCE.c.id
_DEFAULT_ORDER = [("map_index", False), ("id", False)]


@dataclass(frozen=True)
class Selection:
    """Which task instances a list is about.

    Those at a ``place`` (a run, a DAG; nothing is everywhere), of DAGs within ``scope`` (None: not asked), which
    pass the ``filters``. ``needs_run``: the filters look at the run, too. ``few``: there are no more than one run has.
    """

    place: tuple[ColumnElement[bool], ...]
    scope: DagScope | None = None
    filters: tuple[ColumnElement[bool], ...] = ()
    needs_run: bool = False
    few: bool = False

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """Return all conditions."""
        permitted = self.scope.restrict(TASK_INSTANCE.c.dag_id) if self.scope else []
        return [*self.place, *self.filters, *permitted]

    def statement(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """Select these columns of the task instances, joining the run only where it is needed."""
        needs_run = self.needs_run or any(column.base_columns & set(RUN.c) for column in columns)
        source = TASK_INSTANCE.join(RUN, SAME_RUN) if needs_run else TASK_INSTANCE
        return select(*columns).select_from(source).where(*self.conditions)

    def count(self, session: Session, *, at_most: int | None = None) -> int:
        """Count the task instances, reading no more than ``at_most``."""
        if at_most is None and self.scope and not self.place and not self.filters:
            return _count_by_dag(session, self.scope)
        return listing.total(session, self.statement(_ID), at_most=at_most)


def _count_by_dag(session: Session, scope: DagScope) -> int:
    """Count all task instances of the DAGs in the scope, DAG by DAG in an index that starts with the DAG's id.

    That takes a third of the time of a join of all task instances with all DAGs.
    """
    of_the_dag = (
        select(func.count())
        .select_from(TASK_INSTANCE)
        .where(TASK_INSTANCE.c.dag_id == _DAG.c.dag_id)
        .scalar_subquery()
    )
    within = [] if scope.everything else scope.restrict(_DAG.c.dag_id)
    return int(session.scalar(select(func.sum(of_the_dag)).select_from(_DAG).where(*within)) or 0)


def by_offset(
    session: Session, selection: Selection, keys: Sequence[SortKey], *, limit: int, offset: int
) -> Entry:
    """Return the page of the list that starts after ``offset`` task instances, and their exact number."""
    rows = _Reader(selection, keys, limit, offset).read(session)
    known = len(rows) < limit and (bool(rows) or not offset)
    return {
        "task_instances": task_instance_rows.entries(session, rows),
        "total_entries": offset + len(rows) if known else selection.count(session),
        "total_entries_limit": None,
        "next_cursor": None,
        "previous_cursor": None,
    }


def by_cursor(
    session: Session, selection: Selection, keys: Sequence[SortKey], *, limit: int, cursor: str
) -> Entry:
    """Return the page at the cursor (empty: the first), and the number of entries as far as `/api/v2` counts.

    Raises `InvalidCursor`.
    """

    def find(place: Cursor | None, number: int) -> Rows:
        return _Reader(selection, keys, number, cursor=place).read(session)

    def values(row: Row) -> list[Any]:
        others = iter(row[WIDTH:])
        return [row[0] if key.column is _ID else next(others) for key in keys]

    page = cursor_page.read(cursor, keys, limit, find=find, values=values)
    count = selection.count(session, at_most=listing.CURSOR_COUNT_LIMIT)
    return {"task_instances": task_instance_rows.entries(session, page.rows), **page.members(count)}


@dataclass(frozen=True)
class _Reader:
    """Reads the rows of one page: those of `task_instance_rows.statement`, the values of the keys but the id behind.

    The first ``fixed`` keys are known to be the same everywhere: they need not be sorted by.
    """

    selection: Selection
    keys: Sequence[SortKey]
    limit: int
    offset: int = 0
    cursor: Cursor | None = None
    fixed: int = 0

    def read(self, session: Session) -> Rows:
        """Return the rows, in the order of reading."""
        if self._starts_with_those_not_mapped():
            filters = (*self.selection.filters, TASK_INSTANCE.c.map_index == -1)
            rows = replace(self, selection=replace(self.selection, filters=filters), fixed=1)._rows(session)
            if len(rows) == self.limit:
                return rows
        return self._rows(session)

    def _starts_with_those_not_mapped(self) -> bool:
        """Tell whether what is not mapped comes first, in the order of the ids, and the page may lie there.

        So it is in the default order of a list of everything. No index has that order, but the primary key has
        it for the rows with the index -1, which is the least there is.
        """
        by_default = [(key.name, key.descending) for key in self.keys] == _DEFAULT_ORDER
        if not by_default or self.selection.place:
            return False
        return self.cursor is None or self.cursor.values[0] == -1

    def _rows(self, session: Session) -> Rows:
        dialect = session.get_bind().dialect.name
        statement = self._whole(dialect) if self.selection.few else self._in_two_steps(dialect)
        return session.execute(statement).all()

    def _whole(self, dialect: str) -> Select[Any]:
        values = [key.column for key in self.keys if key.column is not _ID]
        statement = task_instance_rows.statement(*values).where(*self.selection.conditions)
        return self._cut(statement, dialect)

    def _in_two_steps(self, dialect: str) -> Select[Any]:
        names = [f"key_{number}" for number in range(len(self.keys))]
        labelled = [key.column.label(name) for key, name in zip(self.keys, names, strict=True)]
        page = self._cut(self.selection.statement(_ID.label("id"), *labelled), dialect).subquery("page")
        order = [replace(key, column=page.c[name]) for key, name in zip(self.keys, names, strict=True)]
        values = [page.c[name] for key, name in zip(self.keys, names, strict=True) if key.column is not _ID]
        source = page.join(TASK_INSTANCE, page.c.id == _ID)
        statement = task_instance_rows.statement(*values, source=source)
        return ordering.ordered(statement, order, backward=self._backward)

    def _cut(self, statement: Select[Any], dialect: str) -> Select[Any]:
        """Order the statement and cut the page out of it."""
        order = self.keys[self.fixed :]
        if self.cursor:
            beyond = replace(self.cursor, values=self.cursor.values[self.fixed :])
            statement = statement.where(beyond.condition(order, dialect))
        statement = ordering.ordered(statement, order, backward=self._backward)
        return statement.limit(self.limit).offset(self.offset)

    @property
    def _backward(self) -> bool:
        return self.cursor is not None and self.cursor.backward
