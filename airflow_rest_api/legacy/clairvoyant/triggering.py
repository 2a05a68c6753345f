"""Triggering: what `airflow trigger_dag` did and printed."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import dag_run, errors, json_texts
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_start
from airflow_rest_api.services.runs.dag_run_creation import DagRunAlreadyExists


def printed(
    dag_id: str, *, run_id: str | None, conf: str | None, exec_date: str | None, caller: Caller
) -> str:
    """Trigger a run of the DAG, and return the line that tells of it.

    Raises `Printed` for a date, an id or a configuration that the command refused, and what
    `json_texts.parse` and `trigger_dag_run` raise.
    """
    now = datetime.now(timezone.utc)
    # The command cut off the fraction of a second, also of a date that was given.
    moment = (instants.parse(exec_date, "-e/--exec_date") if exec_date else now).replace(microsecond=0)
    _require_started(dag_id, moment)
    body = {
        "dag_run_id": run_id or f"manual__{moment.isoformat()}",
        "logical_date": moment.isoformat(),
        # Airflow 1 started no task before the date of its run.
        "run_after": max(now, moment).isoformat(),
        "conf": _conf(conf),
    }
    _trigger(dag_id, body, caller)
    date = moment.astimezone(timezone.utc)
    return f"Created <DagRun {dag_id} @ {date}: {body['dag_run_id']}, externally triggered: True>\n"


def _require_started(dag_id: str, moment: datetime) -> None:
    start = dag_start.get_start_date(dag_id)
    if start is not None and moment < start:
        raise Printed(
            f"The execution_date [{moment.isoformat()}] should be >= start_date [{start.isoformat()}] of the DAG"
        )


def _conf(text: str | None) -> dict[str, Any]:
    conf = json_texts.parse(text.encode(), "conf") if text else None
    if conf is not None and not isinstance(conf, dict):
        raise Printed("The conf is no JSON object: a run of Airflow 3 takes names with values alone.")
    return conf or {}


def _trigger(dag_id: str, body: dict[str, Any], caller: Caller) -> None:
    try:
        dag_run.trigger_dag_run(dag_id, body=body, caller=caller)
    except DagRunAlreadyExists as refusal:
        if _exists(dag_id, body["dag_run_id"], caller):
            raise Printed(f"Run id {body['dag_run_id']} already exists for dag id {dag_id}") from refusal
        raise


def _exists(dag_id: str, run_id: str, caller: Caller) -> bool:
    try:
        dag_run.get_dag_run(dag_id, run_id, caller=caller)
    except errors.DagRunNotFound:
        return False
    return True
