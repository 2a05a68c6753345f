"""Task testing: Clairvoyant's `test`, which ran `airflow test` and waited for its end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services import json_texts, masks, operation, task_test
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import run_dates

# The old command knew no bound: the longest that a test may take, and some time for those before it.
SECONDS = 3600
PATIENCE = 2 * SECONDS
_ENDED = (operation.SUCCEEDED, operation.FAILED, operation.CANCELLED, operation.LOST)
_MOST_PARAMS = 100


@dataclass(frozen=True)
class Wish:
    """What a client has sent."""

    dag_id: str
    task_id: str
    execution_date: str
    dry_run: bool
    task_params: str | None


def test(call: Call, caller: Caller, background: Background, wish: Wish) -> Json | Pending:
    """Run a task outside of any run, and answer what it wrote; a dry run only looks whether it could be.

    Where there is a run at the date, the task sees what others have returned in it. Raises `Printed` and what
    `test_task` raises.
    """
    params = _params(call, wish.task_params)
    date = instants.parse(wish.execution_date, "execution_date")
    run_id = run_dates.run_id_at(wish.dag_id, date)
    place = {"logical_date": date.isoformat()} if run_id is None else {"dag_run_id": run_id}
    begun = task_test.test_task(
        wish.dag_id,
        wish.task_id,
        map_index=-1,
        body={**place, "task_params": params, "time_limit": SECONDS},
        dry_run=wish.dry_run,
        caller=caller,
        background=background,
    )
    if wish.dry_run:
        return call.printed("Dry run\n")
    operation_id = begun["operation_id"]
    return Pending("operation", (operation_id,), _ENDED, PATIENCE, partial(_told, call, caller, operation_id))


def _params(call: Call, text: str | None) -> Json:
    if text is None:
        return {}
    params = json_texts.parse(text.encode(), "task_params")
    if not isinstance(params, dict) or len(params) > _MOST_PARAMS:
        raise Printed(f"error: argument task_params: no JSON object of at most {_MOST_PARAMS} entries")
    call.show("task_params", masks.variable_text("task_params", text))
    return params


def _told(call: Call, caller: Caller, operation_id: str) -> Json:
    found = operation.get_operation(operation_id, caller=caller)
    if found["state"] not in _ENDED:
        return call.printed(
            found["log"], f"The test goes on as the operation '{operation_id}'; get_operation tells its end."
        )
    return call.printed(found["log"], _failure(found))


def _failure(found: Json) -> str:
    if found["state"] == operation.CANCELLED:
        return "The test was cancelled."
    return found["error"] or ""
