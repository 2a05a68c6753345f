"""Two tasks, one after the other."""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None)
def basic():
    @task
    def first():
        return "a value"

    @task
    def second(value):
        assert value == "a value"

    second(first())


basic()
