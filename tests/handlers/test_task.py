"""Task: the tasks of a DAG, as its latest version has them."""

from __future__ import annotations

import pytest
from airflow.models.dag import DagModel
from airflow.utils.session import create_session

DAGS = ["etl", "example_bash_operator", "mapped", "versioned", "makes_assets", "needs_params", "breaks_later"]
ORDERS = [
    "task_id",
    "task_display_name",
    "owner",
    "start_date",
    "end_date",
    "trigger_rule",
    "depends_on_past",
    "wait_for_downstream",
    "retries",
    "queue",
    "pool",
    "pool_slots",
    "execution_timeout",
    "retry_delay",
    "retry_exponential_backoff",
    "priority_weight",
    "ui_color",
    "ui_fgcolor",
    "operator_name",
]


def sorted_downstream(answer):
    """Airflow answers a set in the order that its process hashes to; ours is alphabetical."""
    for task in answer.get("tasks", [answer]):
        task["downstream_task_ids"].sort()
    return answer


class TestGetTasks:
    @pytest.mark.parametrize("dag_id", DAGS)
    def test_the_whole_answer_is_airflows(self, parity, dag_id):
        ours, theirs = parity("GET", f"/dags/{dag_id}/tasks", normalise=sorted_downstream)
        assert ours.json()["total_entries"] == len(ours.json()["tasks"]) > 0
        assert list(ours.json()["tasks"][0]) == list(theirs.json()["tasks"][0])

    @pytest.mark.parametrize("direction", ["", "-"])
    @pytest.mark.parametrize("name", ORDERS)
    def test_every_order_is_airflows(self, parity, name, direction):
        params = {"order_by": f"{direction}{name}"}
        parity("GET", "/dags/etl/tasks", params=params, normalise=sorted_downstream)

    @pytest.mark.parametrize("order", ["weight_rule", "-weight_rule"])
    def test_the_weight_rule_orders_by_its_name(self, rest, order):
        # Airflow compares objects without an order here, and answers 500.
        answer = rest.get("/dags/etl/tasks", params={"order_by": order})
        assert {task["weight_rule"] for task in answer.json()["tasks"]} == {"downstream"}

    def test_downstream_tasks_are_in_alphabetical_order(self, rest):
        tasks = rest.get("/dags/etl/tasks").json()["tasks"]
        downstream = next(task["downstream_task_ids"] for task in tasks if task["task_id"] == "start")
        assert downstream == ["load.customers", "load.orders"]

    @pytest.mark.parametrize("order", ["template_fields", "params", "no_such_field", "-", ""])
    def test_an_order_that_airflow_refuses_is_refused(self, parity, order):
        ours, _ = parity("GET", "/dags/etl/tasks", params={"order_by": order})
        assert ours.status_code == 400

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        parity("GET", f"/dags/{scenario.missing}/tasks")

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("GET", "/dags/manual/tasks", role=role, normalise=sorted_downstream)


class TestGetTask:
    @pytest.mark.parametrize(
        ("dag_id", "task_id"),
        [("etl", "load.orders"), ("etl", "report"), ("mapped", "say"), ("example_bash_operator", "runme_0")],
    )
    def test_the_whole_answer_is_airflows(self, parity, dag_id, task_id):
        ours, theirs = parity("GET", f"/dags/{dag_id}/tasks/{task_id}", normalise=sorted_downstream)
        assert list(ours.json()) == list(theirs.json())

    def test_a_task_of_an_older_version_is_not_found(self, parity, scenario):
        ours, _ = parity("GET", f"/dags/{scenario.versioned}/tasks/old_task")
        assert ours.json()["task_id"] == "old_task"

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        parity("GET", f"/dags/{scenario.missing}/tasks/only")

    @pytest.mark.usefixtures("restored_database")
    def test_a_dag_that_was_never_serialised_is_not_found(self, parity):
        with create_session(scoped=False) as session:
            session.add(DagModel(dag_id="half", bundle_name="dags-folder", fileloc="half.py"))
        parity("GET", "/dags/half/tasks/only")

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("GET", "/dags/manual/tasks/first", role=role, normalise=sorted_downstream)
