"""Rendered fields: what became of a task's templates, as Airflow stored it, or rendered for the question."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from sqlalchemy import and_, select

from airflow_rest_api.services import errors, stored_json
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.task_instance import MapIndexNeeded
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances.task_instance_pages import Selection
from airflow_rest_api.services.task_instances.task_instance_rows import SAME_KEY, TASK_INSTANCE, Entry
from airflow_rest_api.services.task_instances.trial_output import Masks
from airflow_rest_api.trial import attempt
from airflow_rest_api.trial.attempt import Ending, Progress

log = logging.getLogger(__name__)

STORED, LIVE, AUTO = "stored", "live", "auto"
# As long as Airflow gives a file; while it lasts, it holds a thread of the service.
SECONDS, AT_ONCE = 30, 2
_MOST_TOLD = 1_000
_RENDERED = RenderedTaskInstanceFields.__table__
_TURNS = threading.BoundedSemaphore(AT_ONCE)


class RenderedFieldsNotFound(errors.NotFound):
    """Nothing is stored of what was rendered for the task instance."""

    title = "No rendered fields are stored"

    def __init__(self, task_id: str, map_index: int) -> None:
        super().__init__(
            f"Nothing rendered is stored for the task '{task_id}': it has not run, or not among the last runs.",
            task_id=task_id,
            map_index=map_index,
        )


class RenderingFailed(errors.Unprocessable):
    """The code of the DAG does not get as far as the rendered fields."""

    title = "The fields cannot be rendered"


class RenderersBusy(errors.Unavailable):
    """As many fields are being rendered as may be at once."""

    title = "Other fields are being rendered"

    def __init__(self) -> None:
        super().__init__("Too many fields are being rendered at present; try again shortly.", retry_after=5)


class RendererUnavailable(errors.Unavailable):
    """The process that renders failed before it came to the code of the DAG."""

    title = "Fields cannot be rendered at present"

    def __init__(self) -> None:
        super().__init__(
            "The process that renders fields failed; the log of the service tells why.", retry_after=5
        )


def get_rendered_fields(
    dag_id: str, dag_run_id: str, task_id: str, *, map_index: int, source: str, caller: Caller
) -> Entry:
    """Return the templated fields: those that Airflow stored when the task instance ran, or rendered ``live``.

    With ``auto`` they are rendered where none are stored, if the caller may have that. Raises `TaskInstanceNotFound`,
    `RenderedFieldsNotFound`, `MapIndexNeeded` for a mapped task without an index, `SwitchOff` and `PowerMissing`, and
    what `_rendered` raises.
    """
    wanted: Entry = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    fields = _stored(**wanted)
    if fields is not None and source != LIVE:
        return {**wanted, "fields": fields, "source": STORED}
    if source == STORED or (source == AUTO and not _may_render(caller)):
        raise RenderedFieldsNotFound(task_id, map_index)
    _require_to_render(caller)
    _require_instance(dag_id, task_id, map_index)
    return {**wanted, "fields": _rendered(wanted), "source": LIVE}


def get_rendered_fields_at(dag_id: str, task_id: str, logical_date: datetime, *, caller: Caller) -> Entry:
    """Return the templated fields as they would be in a run of this date, which need not exist.

    Raises `SwitchOff` and `PowerMissing`, `DagNotFound`, `TaskNotFound`, `MapIndexNeeded` and what `_rendered` raises.
    """
    _require_to_render(caller)
    _require_instance(dag_id, task_id, -1)
    wanted: Entry = {"dag_id": dag_id, "dag_run_id": None, "task_id": task_id, "map_index": -1}
    return {**wanted, "fields": _rendered(wanted, logical_date.isoformat()), "source": LIVE}


def _stored(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Any:
    instances = place.of_task(dag_id, dag_run_id, task_id)
    wanted = (
        select(stored_json.column(_RENDERED.c.rendered_fields))
        .select_from(TASK_INSTANCE.outerjoin(_RENDERED, and_(*SAME_KEY)))
        .where(*instances, TASK_INSTANCE.c.map_index == map_index)
    )
    with reading() as session:
        found = session.execute(wanted).one_or_none()
        if found is None and map_index == -1 and Selection(instances).count(session, at_most=1):
            raise MapIndexNeeded(task_id)
    if found is None:
        raise errors.TaskInstanceNotFound(dag_id, dag_run_id, task_id, map_index)
    return found[0]


def _require_to_render(caller: Caller) -> None:
    caller.permissions.require_switch("test_enabled")
    caller.permissions.require_power("test")


def _may_render(caller: Caller) -> bool:
    try:
        _require_to_render(caller)
    except errors.Denied:
        return False
    return True


def _require_instance(dag_id: str, task_id: str, map_index: int) -> None:
    """Raise `MapIndexNeeded` for the instance that a mapped task has until it is expanded."""
    with reading() as session:
        dag = structure.read_latest(dag_id, session)
        if not dag.has_task(task_id):
            raise errors.TaskNotFound(dag_id, task_id)
        if map_index < 0 and dag.get_task(task_id).get_needs_expansion():
            raise MapIndexNeeded(task_id)


def _rendered(wanted: Entry, logical_date: str | None = None) -> Any:
    """Render in a child process; raises `RenderersBusy`, `RendererUnavailable` and `RenderingFailed`."""
    masks = Masks()

    def heed(progress: Progress) -> None:
        masks.learn(progress.secrets)

    order = {"what": "render", **wanted, "logical_date": logical_date, "params": {}}
    with _turn():
        try:
            ending = attempt.carry_out(order, seconds=SECONDS, heed=heed)
        except attempt.Interrupted:
            raise RendererUnavailable from None
    if ending.verdict is None and ending.reason in ("done", "lost"):
        log.error("The fields of %s were not rendered: %s", wanted["task_id"], masks.of_text(ending.said))
        raise RendererUnavailable
    fields = (ending.verdict or {}).get("fields")
    if fields is None:
        sentence = masks.of_text(_why(ending))[:_MOST_TOLD]
        raise RenderingFailed(f"The fields of the task '{wanted['task_id']}' cannot be rendered: {sentence}")
    return fields


def _why(ending: Ending) -> str:
    if ending.reason == "timeout":
        return f"it takes longer than {SECONDS} s."
    if ending.verdict is None:
        return "it takes more memory, or writes more, than it may."
    fault = ending.verdict.get("fault")
    if fault == "not rendered":
        return f"{ending.verdict['type']}: {ending.verdict['sentence']}"
    if fault == "not found":
        return "its file on this host does not hold it, or cannot be imported."
    return "the process that rendered them ended itself."


@contextmanager
def _turn() -> Iterator[None]:
    if not _TURNS.acquire(blocking=False):
        raise RenderersBusy
    try:
        yield
    finally:
        _TURNS.release()
