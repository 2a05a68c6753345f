"""Import errors: the DAG files that Airflow could not import, and why.

An error belongs to a file, and a file may hold DAGs that the caller may not read: then its stack trace
is withheld, and when the caller may read none of them, so is the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.errors import ParseImportError
from sqlalchemy import and_, exists, false, or_, select
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller, DagScope
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing, ordering

# Airflow's own words: a client may compare them.
REDACTED = "REDACTED - you do not have read permission on all Dags in the file"

_ERRORS = select(
    ParseImportError.id,
    ParseImportError.timestamp,
    ParseImportError.filename,
    ParseImportError.bundle_name,
    ParseImportError.stacktrace,
)
_FILTERS: listing.Filters = {
    "filename_pattern": listing.pattern(ParseImportError.filename),
    "filename_prefix_pattern": listing.prefix(ParseImportError.filename),
    "filename": listing.equal(ParseImportError.filename),
    "bundle_name": listing.equal(ParseImportError.bundle_name),
}
_SORTING = ordering.Sorting(
    columns={
        "import_error_id": ParseImportError.id,
        "timestamp": ParseImportError.timestamp,
        "filename": ParseImportError.filename,
        "bundle_name": ParseImportError.bundle_name,
        "stacktrace": ParseImportError.stacktrace,
    },
    primary_key=("id", ParseImportError.id),
)
_IN_FILE = and_(
    DagModel.relative_fileloc == ParseImportError.filename,
    DagModel.bundle_name == ParseImportError.bundle_name,
)


class ImportErrorNotFound(errors.NotFound):
    """No import error has this id."""

    title = "Import error not found"

    def __init__(self, import_error_id: int) -> None:
        super().__init__(f"There is no import error {import_error_id}.", import_error_id=import_error_id)


class FileNotReadable(errors.Denied):
    """The caller may read none of the file's DAGs."""

    title = "The file is not readable"


def get_import_errors(*, query: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """List the import errors that the caller may know of."""
    scope = caller.permissions.dag_scope("GET")
    conditions = [*listing.conditions(_FILTERS, query), visible(scope)]
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    statement = _ERRORS.add_columns(_unreadable(scope)).where(*conditions)
    page = ordering.ordered(statement, _SORTING.keys(query["order_by"]))
    with reading() as session:
        rows = session.execute(page.limit(limit).offset(offset)).all()
        every = select(ParseImportError.id).where(*conditions)
        total = listing.page_total(session, every, found=len(rows), limit=limit, offset=offset)
    return {"import_errors": [_entry(row, withheld=row[5]) for row in rows], "total_entries": total}


def get_import_error(import_error_id: int, *, caller: Caller) -> dict[str, Any]:
    """Return one import error; raises `ImportErrorNotFound` or `FileNotReadable`."""
    with reading() as session:
        row = session.execute(_ERRORS.where(ParseImportError.id == import_error_id)).one_or_none()
        if row is None:
            raise ImportErrorNotFound(import_error_id)
        in_file = select(DagModel.dag_id).where(
            DagModel.relative_fileloc == row.filename, DagModel.bundle_name == row.bundle_name
        )
        dag_ids = session.scalars(in_file).all()
    readable = {caller.permissions.may_dag(dag_id, "GET") for dag_id in dag_ids}
    if readable == {False}:
        raise FileNotReadable("The caller may read none of the DAGs in this file.")
    return _entry(row, withheld=False in readable)


def visible(scope: DagScope) -> ColumnElement[bool]:
    """Return the condition for errors that a caller may know of.

    Some DAG of the file is readable, or no file of that name, in whatever bundle, has a DAG.
    """
    known = exists().where(DagModel.relative_fileloc == ParseImportError.filename)
    return or_(~known, exists().where(_IN_FILE, *_within(scope)))


def _unreadable(scope: DagScope) -> ColumnElement[bool]:
    """The file holds a DAG that the caller may not read."""
    if scope.everything:
        return false()
    return exists().where(_IN_FILE, DagModel.dag_id.not_in(sorted(scope.dag_ids)))


def _within(scope: DagScope) -> list[ColumnElement[bool]]:
    return [] if scope.everything else scope.restrict(DagModel.dag_id)


def _entry(row: Any, *, withheld: bool) -> dict[str, Any]:
    return {
        "import_error_id": row[0],
        "timestamp": row[1],
        # `/api/v2` never has null for these two texts, and its clients reject it.
        "filename": row[2] or "",
        "bundle_name": row[3],
        "stack_trace": REDACTED if withheld else row[4] or "",
    }
