"""Refreshing DAGs, with a DAG processor that is alive, and without one."""

from __future__ import annotations

import time

import pytest

from tests.support import processor

TEXT = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("{dag_id}"):
    EmptyOperator(task_id="{task_id}")
"""


def source(dag_id, task_id="first"):
    return TEXT.format(dag_id=dag_id, task_id=task_id)


@pytest.fixture(scope="module")
def life(metadata_database, tmp_path_factory):
    """An Airflow with a DAG processor, which knows the DAGs `kept` and `changing` of the bundle `drafts`."""
    files = {"kept.py": source("kept"), "changing.py": source("changing")}
    with processor.running(tmp_path_factory.mktemp("processor"), files) as started:
        yield started


def tasks(life, dag_id):
    return {entry["task_id"] for entry in life.rest.get(f"/dags/{dag_id}/tasks").json()["tasks"]}


@pytest.mark.in_process
@pytest.mark.xdist_group("processor")
@pytest.mark.timeout(300)
class TestWithADagProcessor:
    def test_it_ends_when_what_the_file_holds_is_served(self, life):
        for task_id in ("second", "third", "fourth"):
            life.write("changing.py", source("changing", task_id))
            begin = time.monotonic()
            answer = life.rest.post("/dags/changing/refresh")
            assert answer.status_code == 202, answer.text
            found = life.ended(answer.json()["operation_id"])
            seconds = time.monotonic() - begin
            assert (found["state"], found["error"]) == ("succeeded", None)
            assert found["result"] == {"served": 1, "broken": 0, "gone": 0, "waiting": 0}
            assert tasks(life, "changing") == {task_id}
            assert seconds < 15
