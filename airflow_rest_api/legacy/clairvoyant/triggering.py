"""Triggering: what `airflow trigger_dag` did and printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import dag_run, json_texts
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_start
from airflow_rest_api.services.runs import run_dates
from airflow_rest_api.services.runs.dag_run_creation import DagRunAlreadyExists

# As in version 1; a database that is no SQLite could not store more.
MOST_CHARACTERS = 250


def printed(
    dag_id: str, *, run_id: str | None, conf: str | None, exec_date: str | None, caller: Caller
) -> tuple[str, str]:
    """Trigger a run of the DAG, and return the line that the command printed, and the id of the run.

    Raises `Printed` for a date, an id or a configuration that the command refused, and what `json_texts.parse` and
    `trigger_dag_run` raise.
    """
    if run_id and len(run_id) > MOST_CHARACTERS:
        raise Printed(f"The run_id is longer than {MOST_CHARACTERS} characters.")
    moments = [_date(exec_date)] if exec_date else _free_moments(dag_id)
    order = {"dag_run_id": run_id, "conf": _conf(conf)}
    moment, made = _triggered(dag_id, order, moments, caller)
    date = moment.astimezone(timezone.utc)
    return f"Created <DagRun {dag_id} @ {date}: {made}, externally triggered: True>\n", made


def _date(text: str) -> datetime:
    # The command cut off the fraction of a second.
    return instants.parse(text, "-e/--exec_date").replace(microsecond=0)


def _free_moments(dag_id: str) -> Iterator[datetime]:
    """Yield logical dates for a run now: the current second, as the command chose it, or the current microsecond."""
    for now in instants.present():
        yield run_dates.free_moment(dag_id, now)


def _triggered(
    dag_id: str, order: dict[str, Any], moments: Iterable[datetime], caller: Caller
) -> tuple[datetime, str]:
    """Trigger a run at the first of the moments that is still free; return this moment, and the id of the run."""
    refusal: DagRunAlreadyExists | None = None
    for moment in moments:
        _require_started(dag_id, moment)
        run_id = order["dag_run_id"] or f"manual__{moment.isoformat()}"
        # Airflow 1 started no task before the date of its run.
        after = max(datetime.now(timezone.utc), moment).isoformat()
        body = {**order, "dag_run_id": run_id, "logical_date": moment.isoformat(), "run_after": after}
        try:
            dag_run.trigger_dag_run(dag_id, body=body, caller=caller)
        except DagRunAlreadyExists as fault:
            refusal = fault
            if order["dag_run_id"]:
                _require_other_id(fault)
        else:
            return moment, run_id
    assert refusal is not None
    _require_other_id(refusal)
    raise refusal


def _require_started(dag_id: str, moment: datetime) -> None:
    start = dag_start.get_start_date(dag_id)
    if start is not None and moment < start:
        raise Printed(
            f"The execution_date [{moment.isoformat()}] should be >= start_date [{start.isoformat()}] of the DAG"
        )


def _require_other_id(refusal: DagRunAlreadyExists) -> None:
    """Raise the command's own error if a run has the same id; it did not check the date."""
    if refusal.is_of_id:
        raise Printed(f"Run id {refusal.dag_run_id} already exists for dag id {refusal.dag_id}")


def _conf(text: str | None) -> dict[str, Any]:
    conf = json_texts.parse(text.encode(), "conf") if text else None
    if conf is not None and not isinstance(conf, dict):
        raise Printed("The conf is no JSON object: a run of Airflow 3 takes names with values alone.")
    return conf or {}
