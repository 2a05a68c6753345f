"""Missing DAGs: why Airflow has no usable DAG of an id, as far as its records and the bundles show it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.errors import ParseImportError
from sqlalchemy import false, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, import_error
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import bundles, parsing

_DAG = DagModel.__table__.c
_ERROR = ParseImportError.__table__.c
# How many import errors, files and characters of a file are searched for a DAG id.
_MOST_ERRORS, _MOST_FILES, _MOST_CHARACTERS = 1000, 100, 1_000_000


@dataclass(frozen=True)
class Reason:
    """Why a DAG is missing: a stable ``code``, a sentence, and ``members`` for the problem document."""

    code: str
    sentence: str
    members: Mapping[str, Any] = field(default_factory=dict)


class DagMissing(errors.DagNotFound):
    """The DAG cannot be used, for a known reason. The type stays `dag-not-found`."""

    title = "The DAG is not available"

    def __init__(self, dag_id: str, reason: Reason) -> None:
        super().__init__(dag_id)
        self.detail = f"The DAG '{dag_id}' is not available: {reason.sentence}"
        self.members = {"dag_id": dag_id, "reason": reason.code, **reason.members}

    @property
    def code(self) -> str:
        """The type of the problem: that of its base class."""
        return "dag-not-found"


def explained(refusal: errors.DagNotFound, caller: Caller) -> errors.DagNotFound:
    """Return the refusal with the reason, or unchanged if the reason is unknown."""
    reason = reason_of(str(refusal.members["dag_id"]), caller)
    return DagMissing(refusal.members["dag_id"], reason) if reason else refusal


def because(dag_id: str, caller: Caller) -> str:
    """Return the reason as the end of a sentence, empty if it is unknown."""
    reason = reason_of(dag_id, caller)
    return f": {reason.sentence}" if reason else ""


def reason_of(dag_id: str, caller: Caller) -> Reason | None:
    """Return why the DAG is missing, with path and id of an import error if the caller may read it."""
    with reading() as session:
        columns = (_DAG.bundle_name, _DAG.relative_fileloc, _DAG.is_stale)
        row = session.execute(select(*columns).where(_DAG.dag_id == dag_id)).one_or_none()
        if row is None:
            return _never_imported(session, dag_id, caller)
        return broken(session, row, caller) or _stale(session, row)


def broken(session: Session, dag: Any, caller: Caller) -> Reason | None:
    """Return the import error of a DAG's file as a reason; ``dag`` has its bundle and its path in it."""
    if dag.relative_fileloc is None:
        return None
    files = {dag.relative_fileloc, parsing.file_of(dag.relative_fileloc)}
    of_file = (_ERROR.bundle_name == dag.bundle_name) & _ERROR.filename.in_(files)
    found = session.execute(_errors(caller).where(of_file).order_by(_ERROR.id.desc()).limit(1)).one_or_none()
    return None if found is None else _reason("import_error", "its file", found)


def _errors(caller: Caller) -> Any:
    """Select import errors; ``is_visible`` is whether the caller may read them, as in `import_error`."""
    permissions = caller.permissions
    may_view = permissions.may_view("IMPORT_ERRORS")
    is_visible = import_error.visible(permissions.dag_scope("GET")) if may_view else false()
    columns = (_ERROR.id, _ERROR.bundle_name, _ERROR.filename, _ERROR.stacktrace)
    return select(*columns, is_visible.label("is_visible"))


def _reason(code: str, whose: str, error: Any) -> Reason:
    if not error.is_visible:
        return Reason(code, f"{whose} has an import error.")
    facts = {"import_error_id": error.id, "bundle_name": error.bundle_name, "filename": error.filename}
    place = f"'{error.filename}' in the bundle '{error.bundle_name}'"
    return Reason(
        code,
        f"{whose} {place} has the import error {error.id}. Read it with `get_import_error`, and fix the file.",
        {"import_error": facts},
    )


def _stale(session: Session, dag: Any) -> Reason:
    if not dag.is_stale:
        return Reason(
            "not_serialized",
            "Airflow has not stored its structure. Wait until the DAG processor has parsed its file.",
        )
    place = f"file '{dag.relative_fileloc}' in the bundle '{dag.bundle_name}'"
    if _is_parsed(session, dag):
        return Reason("not_in_file", f"its {place} no longer defines it.")
    path = _path(dag.bundle_name, dag.relative_fileloc)
    if path is not None and not path.exists():
        return Reason("file_deleted", f"its {place} was deleted.")
    return Reason(
        "stale",
        f"Airflow no longer finds it: its {place} was deleted, is ignored or no longer defines it.",
    )


def _is_parsed(session: Session, dag: Any) -> bool:
    """Tell whether Airflow finds other DAGs in the file."""
    of_file = (_DAG.bundle_name == dag.bundle_name) & (_DAG.relative_fileloc == dag.relative_fileloc)
    return session.scalar(select(_DAG.dag_id).where(of_file, ~_DAG.is_stale).limit(1)) is not None


def _never_imported(session: Session, dag_id: str, caller: Caller) -> Reason | None:
    """Return the import error of a file that seems to define the DAG.

    Only for callers who may read the error it is searched for in stack traces and files.
    """
    found = session.execute(_errors(caller).order_by(_ERROR.id.desc()).limit(_MOST_ERRORS)).all()
    named = (error for error in found if error.filename and PurePosixPath(error.filename).stem == dag_id)
    readable = [error for error in found if error.is_visible]
    error = next(named, None) or next((one for one in readable if dag_id in _quoted(one.stacktrace)), None)
    error = error or next((one for one in islice(readable, _MOST_FILES) if _defines(one, dag_id)), None)
    return None if error is None else _reason("never_imported", "it was never imported, and the file", error)


def _quoted(text: str | None) -> set[str]:
    return set(re.findall(r"'([^'\n]{1,250})'", text or ""))


def _defines(error: Any, dag_id: str) -> bool:
    """Tell whether the file has the id as a string, or as the name of a decorated function."""
    path = _path(error.bundle_name, error.filename)
    try:
        with (path or Path()).open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_CHARACTERS)
    except OSError:
        return False
    name = re.escape(dag_id)
    return re.search(rf"""(['"]){name}\1|\bdef {name}\(""", text) is not None


def _path(bundle_name: str | None, relative: str | None) -> Path | None:
    """Return where a file of a bundle is on this machine; None if the bundle is not here."""
    folder = next((one.path for one in bundles.every() if one.name == bundle_name), None)
    if folder is None or relative is None or not folder.is_dir():
        return None
    path = (folder / parsing.file_of(relative)).resolve()
    return path if path.is_relative_to(folder.resolve()) else None
