"""Orders of deployments: what a caller has sent, checked for good before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import deployed_dags, deployment_rows, validation
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.deployments.deployment_rows import Order
from airflow_rest_api.services.deployments.submission import Submission
from airflow_rest_api.services.files import durable_file

if TYPE_CHECKING:
    from airflow_rest_api.sandbox.box import Sandbox

# Of the first error, in the detail of the problem.
_MOST_CHARACTERS = 500


class PauseOrNot(errors.Malformed):
    """DAGs cannot be paused and let run at the same time."""

    title = "Pause or unpause"

    def __init__(self) -> None:
        super().__init__("Send `pause` or `unpause`, and not both.")


class DagRejected(errors.Unprocessable):
    """Airflow could not import what was sent."""

    title = "The DAG was rejected"

    def __init__(self, path: str, faults: list[dict[str, Any]]) -> None:
        first = deployment_rows.line_of(faults[0], _MOST_CHARACTERS).rstrip(".")
        super().__init__(
            f"'{path}' cannot be imported: {first}. Nothing was stored. `errors` lists all errors.",
            errors=faults,
        )


class DagIdTaken(errors.Conflict):
    """A DAG of this id belongs to another file."""

    title = "The DAG id is taken"

    def __init__(self, dag_id: str, place: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' belongs to '{place}'; deploy to that path, or give the DAG another id.",
            dag_id=dag_id,
        )


def made(form: Mapping[str, Any], submission: Submission, *, caller: Caller, sandbox: Sandbox) -> Order:
    """Check a submission and return the order to deploy it.

    Raises `PauseOrNot`, `DigestDiffers`, `DagRejected`, `DagIdTaken`, `Denied`, and what `validation.checked` raises.
    """
    if form.get("pause") and form.get("unpause"):
        raise PauseOrNot
    expected = form.get("sha256")
    if expected is not None and expected.lower() != submission.sha256:
        raise durable_file.DigestDiffers(expected, submission.sha256)
    place = Place(submission.bundle.name, submission.path)
    with reading() as session:
        present = deployed_dags.present_at(session, place)
    # Who may not change what is there learns nothing of what would come in its place.
    permitted(present, caller)
    report = _accepted(submission, caller=caller, sandbox=sandbox)
    return Order(
        place=place,
        kind=submission.content.kind,
        content=submission.content,
        dags=report.dags,
        permitted=permitted({*present, *report.dags}, caller),
        warnings=report.file_warnings,
        message=form.get("message"),
        keep_on_error=bool(form.get("keep_on_error")),
        pause=bool(form.get("pause")),
        unpause=bool(form.get("unpause")),
    )


def _accepted(submission: Submission, *, caller: Caller, sandbox: Sandbox) -> validation.Report:
    """Return the report on a submission that can be deployed."""
    report = validation.checked(submission, caller=caller, sandbox=sandbox)
    if not report.valid:
        raise DagRejected(submission.path, report.errors)
    # Where a DAG comes from is told to those alone who might change it.
    permitted(report.others, caller)
    for dag_id, place in sorted(report.others.items()):
        raise DagIdTaken(dag_id, place)
    return report


def permitted(dag_ids: Iterable[str], caller: Caller) -> frozenset[str]:
    """Return the DAGs; raises `Denied` unless the caller may change each of them."""
    for dag_id in sorted(dag_ids):
        caller.permissions.require_dag(dag_id, "PUT")
    return frozenset(dag_ids)
