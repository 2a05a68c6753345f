"""Kinds: how the operations of the contract that answer 202 are carried out, by operationId."""

from __future__ import annotations

from airflow_rest_api.services import kill, task_test
from airflow_rest_api.services.background import Kind
from airflow_rest_api.services.components import starting, stopping
from airflow_rest_api.services.dags import dag_refresh
from airflow_rest_api.services.kills import kill_following
from airflow_rest_api.services.runs import dag_runs_restart

KINDS: dict[str, Kind] = {
    dag_refresh.ONE: Kind(dag_refresh.follow, is_safe=True),
    dag_refresh.ALL: Kind(dag_refresh.follow, is_safe=True),
    dag_runs_restart.KIND: Kind(dag_runs_restart.carry_out, is_safe=True, resumes=True),
    task_test.KIND: Kind(task_test.carry_out, is_safe=False, threads=task_test.AT_ONCE),
    # Whoever takes work over may be on another host.
    starting.KIND: Kind(starting.follow, is_safe=False),
    stopping.KIND: Kind(stopping.carry_out, is_safe=False),
    **dict.fromkeys((kill.TASK, kill.RUN, kill.RUNS), Kind(kill_following.follow, is_safe=True)),
}
