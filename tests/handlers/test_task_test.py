"""What is refused before a task is tested, and what a dry run answers; `tests/live/` tests tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from unittest import mock

import pytest
from sqlalchemy import func, select

from airflow_rest_api.services import task_test
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.kinds import KINDS
from airflow_rest_api.services.task_instances.trial_output import Masks
from airflow_rest_api.storage.tables import operation as table
from tests.conftest import application, in_process
from tests.support import clients, work

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

PATH = "/dags/etl/tasks/load.orders/test"


@pytest.fixture(scope="module")
def able(token):
    """A client of a service that has tests switched on."""
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__TEST_ENABLED": "True"}):
        built = application()
    with in_process(built) as http:
        yield clients.Client(http, clients.REST, token)


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def count():
    with reading() as session:
        return session.scalar(select(func.count()).select_from(table))


class TestTestTask:
    def test_it_is_switched_off_unless_told_otherwise(self, rest):
        answer = rest.post(PATH, json={})
        assert (answer.status_code, answer.json()["switch"]) == (403, "test_enabled")

    @pytest.mark.parametrize("role", ["op", "user", "viewer"])
    def test_it_takes_the_power_to_test(self, able, role):
        assert kind(able.post(PATH, json={}, role=role)) == (403, "power-missing")

    def test_a_dry_run_begins_nothing(self, able, scenario):
        body = {"dag_run_id": scenario.succeeded.dag_run_id, "task_params": {"limit": 3}}
        answer = able.post(PATH, params={"dry_run": "true"}, json=body)
        found = answer.json()
        assert (answer.status_code, found["operation_id"], found["state"]) == (202, None, "succeeded")
        assert found["operation"] == "test_task"
        assert "Location" not in answer.headers
        assert count() == 0

    @pytest.mark.parametrize(
        ("path", "params", "body", "expected"),
        [
            ("/dags/nothing/tasks/x/test", {}, {}, (404, "dag-not-found")),
            ("/dags/etl/tasks/nothing/test", {}, {}, (404, "task-not-found")),
            (PATH, {}, {"dag_run_id": "nothing"}, (404, "dag-run-not-found")),
            (
                PATH,
                {},
                {"dag_run_id": "x", "logical_date": "2026-01-01T00:00:00Z"},
                (400, "options-exclusive"),
            ),
            (PATH, {"map_index": 0}, {}, (409, "task-has-no-instances")),
            ("/dags/mapped/tasks/say/test", {}, {}, (409, "map-index-needed")),
            ("/dags/mapped/tasks/say/test", {"map_index": 4}, {}, (409, "task-has-no-instances")),
            ("/dags/mapped/tasks/double/test", {}, {}, (409, "map-index-needed")),
            ("/dags/mapped/tasks/double/test", {"map_index": 0}, {}, (409, "run-needed")),
            (PATH, {}, {"time_limit": 0}, (400, "malformed")),
            (PATH, {}, {"time_limit": 3601}, (400, "malformed")),
            (PATH, {}, {"env_vars": {"LD_PRELOAD": "x"}}, (400, "malformed")),
            (PATH, {}, {"task_params": []}, (400, "malformed")),
            (PATH, {}, {"logical_date": "2026-01-01"}, (400, "malformed")),
        ],
    )
    def test_what_cannot_be_tested_is_refused_and_nothing_begins(self, able, path, params, body, expected):
        for dry_run in ("true", "false"):
            assert kind(able.post(path, params={**params, "dry_run": dry_run}, json=body)) == expected
        assert count() == 0

    def test_a_caller_may_have_few_at_once(self, able):
        carrier, caller = Background(KINDS), work.admin()
        for _ in range(task_test.MOST_OF_CALLER):
            write(lambda session: carrier.begin(session, task_test.KIND, {}, caller))
        answer = able.post(PATH, json={})
        assert kind(answer) == (429, "too-many-tests")
        assert answer.headers["retry-after"] == "10"


class TestMemory:
    def test_what_takes_more_than_it_may_is_ended(self):
        order = {"what": "test", "dag_id": "etl", "task_id": "load.orders", "map_index": -1, "seconds": 60}
        order |= {"dag_run_id": None, "logical_date": None, "params": {}}
        # Airflow alone takes more than that.
        small = "from airflow_rest_api.trial import warden; warden.MEMORY_BYTES = 64 << 20; warden.main()"
        with subprocess.Popen(
            [sys.executable, "-c", small], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            *_, last = process.stdout
        assert (json.loads(last)["reason"], json.loads(last)["verdict"]) == ("memory", None)


class TestMasks:
    @pytest.fixture
    def masks(self):
        found = Masks()
        found.learn(["secret-one", "first line of it\nsecond line of it", "short"])
        return found

    def test_secrets_are_masked_as_they_are_and_line_by_line(self, masks):
        text = "a secret-one b\n1 first line of it\n2 second line of it\nshort c2VjcmV0LW9uZQ=="
        assert masks.of_text(text) == "a *** b\n1 ***\n2 ***\n*** ***ZQ=="

    def test_no_half_of_a_secret_is_told_where_a_text_is_cut(self, masks):
        assert masks.of_tail("ret-one b secr", is_whole=False, is_last=False) == " b "
        assert masks.of_tail("ret-one b secr", is_whole=True, is_last=True) == "ret-one b secr"

    def test_what_no_database_can_store_is_replaced(self, masks):
        assert masks.of_text("a\0b") == "a\N{REPLACEMENT CHARACTER}b"
