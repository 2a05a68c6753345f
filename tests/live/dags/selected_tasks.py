"""DAGs that some tasks are run of: a chain of six, one with mapped tasks, and every kind of task before another."""

from __future__ import annotations

import time

from airflow.exceptions import AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, dag, task


@dag(schedule=None, max_active_runs=30, max_active_tasks=30)
def chosen():
    @task
    def step(**context):
        if (context["dag_run"].conf or {}).get("fails") == context["ti"].task_id:
            raise ValueError("as it was told")

    a, b, c, d, e, f = (step.override(task_id=name)() for name in "abcdef")
    a >> b >> c >> d >> e
    a >> f >> e


chosen()


@dag(schedule=None)
def chosen_mapped():
    @task
    def feeder():
        return [1, 2]

    @task
    def mapped(number):
        return number

    @task
    def last():
        pass

    before = EmptyOperator(task_id="before")
    fed = feeder()
    before >> fed
    mapped.expand(number=fed) >> last()


chosen_mapped()


# For tasks that are to run now: what lies before them waits, runs, fails, or is skipped.
with DAG("run_now", schedule=None, max_active_runs=10) as run_now:

    @task
    def works():
        pass

    @task
    def waits():
        time.sleep(600)

    @task
    def fails():
        raise ValueError("as it should")

    @task
    def skips():
        raise AirflowSkipException

    for kind in (works, waits, fails, skips):
        before = kind()
        for rule in ("all_success", "all_done", "none_failed", "one_failed"):
            after = works.override(task_id=f"{kind.function.__name__}_{rule}", trigger_rule=rule)()
            before >> after
