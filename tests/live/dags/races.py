"""A DAG that is always in the middle of something."""

from __future__ import annotations

import time

from airflow.sdk import dag, task


@dag(schedule=None, max_active_runs=50)
def races():
    @task
    def first():
        time.sleep(0.2)
        return [0, 1]

    @task
    def each(_number):
        time.sleep(0.3)

    @task.bash
    def shell():
        return "sleep 1"

    @task(retries=1, retry_delay=0.1)
    def falters():
        time.sleep(0.2)
        raise ValueError("fails always")

    @task(trigger_rule="all_done")
    def last():
        """Come last."""

    [each.expand(_number=first()), shell(), falters()] >> last()


races()
