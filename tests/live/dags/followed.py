"""Tasks that say something now and then, for those who follow their logs."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, task


def last_words(_context):
    import time

    time.sleep(3)
    print("said after the success")


with DAG("followed", schedule=None):
    BashOperator(task_id="counts", bash_command="for n in 1 2 3 4 5; do echo line $n; sleep 1; done")
    BashOperator(
        task_id="tried", bash_command="echo try; exit 1", retries=1, retry_delay=timedelta(seconds=2)
    )
    TimeDeltaSensor(task_id="deferred", delta=timedelta(seconds=3), deferrable=True)

    @task(on_success_callback=last_words)
    def speaks_late():
        print("done")

    speaks_late()

with DAG("endless", schedule=None):
    BashOperator(task_id="counts", bash_command="while true; do echo tick; sleep 1; done")
