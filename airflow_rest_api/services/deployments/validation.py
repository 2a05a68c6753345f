"""Validation: what a submitted file or archive would do, found out without storing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.variable import Variable
from sqlalchemy import and_, not_, select
from sqlalchemy.orm import Session

from airflow_rest_api.sandbox import packages, removed_names
from airflow_rest_api.sandbox.verdict import ParsedFile, ParseFault, Verdict
from airflow_rest_api.services import configuration, errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import deployed_dags, differences, parsing, publication, sandboxes
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.deployments.submission import Submission, submitted

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

    from airflow_rest_api.sandbox.box import Sandbox

Json = dict[str, Any]

_DAG = DagModel.__table__.c
_NAMED = {
    "variable": (Variable.__table__.c.key, "AIRFLOW_VAR_"),
    "connection": (Connection.__table__.c.conn_id, "AIRFLOW_CONN_"),
}
_MOST_WARNINGS = 500
_OF_FILES = ("ignored", "no_dag", "removed_name")
# In one submission; databases take some ten thousand values in a statement.
MOST_DAGS = 5000
_MOST_NAMES = 1000


class TooManyDags(errors.Unprocessable):
    """The files declare more DAGs than are deployed at once."""

    title = "Too many DAGs"

    def __init__(self) -> None:
        super().__init__(f"The files declare more than {MOST_DAGS} DAGs; send them in several parts.")


@dataclass(frozen=True)
class Report:
    """What was found out: the parser's ``verdict``, the ``warnings``, and the DAGs that belong to ``others``.

    ``others`` are the DAG ids of the submission that Airflow knows from another file, and that file's name.
    """

    verdict: Verdict
    warnings: tuple[Json, ...]
    others: Mapping[str, str]

    @property
    def valid(self) -> bool:
        """Whether Airflow could import all that was submitted, and would know which file each DAG comes from."""
        return not self.errors

    @property
    def errors(self) -> list[Json]:
        """Why it could not, in JSON's types."""
        return [asdict(fault) for fault in (*self.verdict.errors, *_doubles(self.verdict))]

    @property
    def file_warnings(self) -> tuple[Json, ...]:
        """The warnings about the files themselves, which every reader of the deployment may see."""
        return tuple(entry for entry in self.warnings if entry["kind"] in _OF_FILES)

    @property
    def dags(self) -> dict[str, str]:
        """The paths in the bundle of the DAGs that were found, by their ids."""
        return {dag.dag_id: dag.path for dag in self.verdict.dags}


def validate_dag(form: Mapping[str, Any], *, caller: Caller, sandbox: Sandbox, max_archive_kib: int) -> Json:
    """Check what a form sends and tell what deploying it would change; nothing is stored.

    Raises what `submitted` and `sandboxes.verdict_on` raise.
    """
    with submitted(form, max_archive_kib=max_archive_kib) as submission:
        report = checked(submission, caller=caller, sandbox=sandbox)
        return {
            "valid": report.valid,
            "bundle_name": submission.bundle.name,
            "path": submission.path,
            "sha256": submission.sha256,
            "dags": [_dag(dag) for dag in report.verdict.dags],
            "errors": report.errors,
            "warnings": list(report.warnings),
            "difference": difference(submission, report, caller=caller),
            "parse_seconds": round(report.verdict.seconds, 3),
            "sandbox": report.verdict.sandbox,
        }


def checked(submission: Submission, *, caller: Caller, sandbox: Sandbox) -> Report:
    """Parse what was submitted, and compare it with what Airflow knows."""
    verdict = sandboxes.verdict_on(submission, sandbox)
    if len(verdict.dags) > MOST_DAGS:
        raise TooManyDags
    with reading() as session:
        others = _others(session, submission, [dag.dag_id for dag in verdict.dags])
        unknown = {resource: _unknown(session, resource, names) for resource, names in _mentioned(verdict)}
    # The auth manager may ask the database as well, and a request holds one connection at a time.
    warnings = [*_about_files(verdict), *_about_others(others, caller), *_about_names(unknown, caller)]
    return Report(verdict, tuple(warnings[:_MOST_WARNINGS]), others)


def _dag(dag: Any) -> Json:
    return {
        "dag_id": dag.dag_id,
        "path": dag.path,
        "task_ids": list(dag.tasks),
        "schedule": dag.schedule,
        "tags": list(dag.tags),
    }


def _doubles(verdict: Verdict) -> Iterator[ParseFault]:
    """Yield a fault for each DAG that a second file declares: Airflow would serve now the one, now the other."""
    places: dict[str, str] = {}
    for dag in verdict.dags:
        first = places.setdefault(dag.dag_id, dag.path)
        if first != dag.path:
            sentence = f"The DAG '{dag.dag_id}' is declared by '{first}' as well."
            yield ParseFault(dag.path, None, "double", sentence)


def _others(session: Session, submission: Submission, dag_ids: list[str]) -> dict[str, str]:
    here = parsing.in_file(submission.bundle.name, submission.path)
    elsewhere = and_(_DAG.dag_id.in_(dag_ids), _DAG.is_stale.is_(False), not_(here))
    rows = session.execute(select(_DAG.dag_id, _DAG.bundle_name, _DAG.relative_fileloc).where(elsewhere))
    return {row.dag_id: f"{row.relative_fileloc} (bundle {row.bundle_name})" for row in rows}


def _about_files(verdict: Verdict) -> Iterator[Json]:
    for file in verdict.ignored:
        yield _warning("ignored", _about_ignored(file), path=file.path)
    if not verdict.dags and not verdict.errors:
        yield _warning("no_dag", "No DAG was found.")
    for file in verdict.files:
        for name in file.removed:
            yield _warning("removed_name", removed_names.of_context(name), path=file.path, name=name)
    for name in verdict.missing_providers:
        yield _warning("missing_provider", f"The provider '{name}' is not installed here.", name=name)


def _about_ignored(file: ParsedFile) -> str:
    if file.ignored_by == "airflowignore":
        reason = "an '.airflowignore' of the bundle names it"
    elif f"{packages.SUFFIX}/" in file.path and "/" in file.path.rpartition(f"{packages.SUFFIX}/")[2]:
        reason = "of a packaged DAG it parses the modules at the archive's root"
    else:
        reason = "it lacks the words 'airflow' and 'dag' (or 'asset')"
    return f"Airflow does not look for DAGs in this file: {reason}. Other files can import it."


def _about_others(others: Mapping[str, str], caller: Caller) -> Iterator[Json]:
    for dag_id, place in others.items():
        # That the id is taken has to be known; where from, only to those who may see the DAG.
        owner = f"'{place}'" if caller.permissions.may_dag(dag_id, "GET") else "another file"
        sentence = f"The DAG '{dag_id}' belongs to {owner}; it is not deployed from two places."
        yield _warning("dag_id_taken", sentence, name=dag_id)


def _mentioned(verdict: Verdict) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "variable", verdict.variables[:_MOST_NAMES]
    yield "connection", verdict.connections[:_MOST_NAMES]


def _unknown(session: Session, resource: str, names: tuple[str, ...]) -> list[str]:
    """Return those of the names that nobody has made here."""
    column, prefix = _NAMED[resource]
    known = set(session.scalars(select(column).where(column.in_(names))))
    return [name for name in names if name not in known and not configuration.in_environment(prefix, name)]


def _about_names(unknown: Mapping[str, list[str]], caller: Caller) -> Iterator[Json]:
    """Warn of variables and connections that are not there, as far as the caller may know of them."""
    for resource, names in unknown.items():
        for name in names:
            with suppress(errors.Denied):
                caller.permissions.require_named(resource, name, "GET")
                sentence = (
                    f"The {resource} '{name}' is neither in Airflow's database nor in the environment"
                    " of this service."
                )
                yield _warning(f"unknown_{resource}", sentence, name=name)


def _warning(kind: str, message: str, *, path: str | None = None, name: str | None = None) -> Json:
    return {"kind": kind, "message": message, "path": path, "name": name}


def difference(submission: Submission, report: Report, *, caller: Caller) -> Json:
    """Tell what would be another, as far as the caller may read what is there now."""
    before = publication.of(submission.bundle).read(submission.path)
    place = Place(submission.bundle.name, submission.path)
    with reading() as session:
        present = deployed_dags.at(session, place) if before is not None else {}
        in_file = deployed_dags.ever_at(session, place)
    readable = {dag_id for dag_id in present if caller.permissions.may_dag(dag_id, "GET")}
    may_read = all(caller.permissions.may_dag(dag_id, "GET", "CODE") for dag_id in in_file)
    with reading() as session:
        tasks = {dag_id: _tasks(session, dag_id) for dag_id in readable}
    after = {dag.dag_id: frozenset(dag.tasks) for dag in report.verdict.dags}
    return {
        "dags_added": sorted(after.keys() - present.keys()),
        "dags_removed": sorted(readable - after.keys()) if report.valid else [],
        "dags_changed": list(_changed(tasks, after)),
        "source": _source(before, submission) if may_read else None,
    }


def _source(before: Content | None, submission: Submission) -> str:
    return differences.unified(before, submission.content, submission.path)


def _changed(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]) -> Iterator[Json]:
    for dag_id in sorted(before.keys() & after.keys()):
        added, removed = after[dag_id] - before[dag_id], before[dag_id] - after[dag_id]
        if added or removed:
            yield {"dag_id": dag_id, "tasks_added": sorted(added), "tasks_removed": sorted(removed)}


def _tasks(session: Session, dag_id: str) -> frozenset[str]:
    try:
        return structure.derived(dag_id, session, _task_ids)
    except errors.DagNotFound:
        return frozenset()  # known, and not yet parsed


def _task_ids(dag: SerializedDAG) -> frozenset[str]:
    return frozenset(dag.task_dict)
