"""The state of a run, as the command `airflow dag_state` printed it."""

from __future__ import annotations

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.services import dag_run, errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import run_dates

_NONE = "None"


def dag_state(call: Call, dag_id: str, execution_date: str, caller: Caller) -> Json:
    """Print the state of the run of a date on one line, `None` where there is none; raises `Printed`."""
    run_id = run_dates.run_id_at(dag_id, instants.parse(execution_date, "execution_date"))
    return call.printed(_state(dag_id, run_id, caller) + "\n")


def _state(dag_id: str, run_id: str | None, caller: Caller) -> str:
    if run_id is None:
        return _NONE
    try:
        state: str = dag_run.get_dag_run(dag_id, run_id, caller=caller)["state"]
    except errors.DagRunNotFound:
        return _NONE
    return state
