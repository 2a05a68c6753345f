"""The old call that tests a task, over HTTP; `tests/live/` tests one for real."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from unittest import mock

import pytest

from airflow_rest_api.legacy.clairvoyant import task_testing
from airflow_rest_api.services import task_test
from airflow_rest_api.services.kinds import KINDS
from tests.conftest import application, in_process
from tests.support import old_calls
from tests.support.old_running import meanwhile, printed, refused, until

pytestmark = [pytest.mark.slow, pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

TESTED = {"dag_id": "etl", "task_id": "load.orders", "execution_date": "2026-03-01"}


@pytest.fixture(scope="module")
def able(token):
    """Old calls to a service that has tests switched on."""
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__TEST_ENABLED": "True"}):
        built = application()
    with in_process(built) as http:
        yield old_calls.OldCalls(http, token)


class TestTest:
    @pytest.fixture
    def tried(self, monkeypatch):
        """What the tests are asked for, which are not carried out: each writes a line, and fails where told."""
        asked = []

        def carry_out(request, report):
            asked.append(request)
            report.text("a line\n")
            while request["params"].get("endless"):
                report.check()
                time.sleep(0.05)
            if request["params"].get("fails"):
                raise task_test.TaskTestFailed("It failed.")
            return {"task_state": "success"}

        kind = replace(KINDS[task_test.KIND], work=carry_out)
        monkeypatch.setitem(KINDS, task_test.KIND, kind)
        return asked

    def test_it_is_off_unless_switched_on(self, old):
        status, text = refused(old("clairvoyant", "test", TESTED))
        assert (status, "test_enabled" in text) == (403, True)

    def test_it_takes_the_power_to_test(self, able, tried):
        assert able("clairvoyant", "test", TESTED, role="op").status_code == 403
        assert tried == []

    def test_it_answers_what_the_task_wrote_when_it_has_ended(self, able, tried):
        told = able("clairvoyant", "test", {**TESTED, "task_params": '{"limit": 3}'})
        assert printed(told) == ("a line\n", "")
        assert told.json()["airflow_cmd"] == (
            'airflow test --task_params {"limit": 3} etl load.orders 2026-03-01'
        )
        (asked,) = tried
        assert (asked["logical_date"], asked["dag_run_id"]) == ("2026-03-01T00:00:00+00:00", None)
        assert (asked["params"], asked["seconds"]) == ({"limit": 3}, 3600)

    def test_the_task_runs_in_a_process_of_its_own(self, rest, able):
        query = {
            "dag_id": "example_bash_operator",
            "task_id": "also_run_this",
            "execution_date": "2026-03-01",
        }
        assert printed(able("clairvoyant", "test", query))[1] == ""
        (one,) = rest.get("/operations").json()["operations"]
        result = {name: one["result"][name] for name in ("task_state", "exit_code")}
        assert result == {"task_state": "success", "exit_code": 0}

    def test_where_there_is_a_run_the_task_sees_it(self, able, tried, scenario):
        query = {**TESTED, "execution_date": "2026-01-05T01:30:00+00:00"}
        assert printed(able("clairvoyant", "test", query)) == ("a line\n", "")
        assert (tried[0]["logical_date"], tried[0]["dag_run_id"]) == (None, scenario.succeeded.dag_run_id)

    def test_why_it_failed_is_told(self, able, tried):
        told = able("clairvoyant", "test", {**TESTED, "task_params": '{"fails": true}'})
        assert printed(told) == ("a line\n", "It failed.")

    @pytest.mark.parametrize("patience", [0, 60])
    def test_what_goes_on_when_the_time_is_up_is_named(self, rest, able, tried, monkeypatch, patience):
        def ended():
            (one,) = rest.get("/operations").json()["operations"]
            return one["state"] == "cancelled"

        def cancel():
            until(lambda: tried)
            (one,) = rest.get("/operations").json()["operations"]
            assert rest.post(f"/operations/{one['operation_id']}/cancel").is_success

        monkeypatch.setattr(task_testing, "PATIENCE", patience)
        query = {**TESTED, "task_params": '{"endless": true}'}
        if not patience:
            _, stderr = printed(able("clairvoyant", "test", query))
            assert stderr.startswith("The test goes on as the operation '")
            cancel()
        else:
            with meanwhile(cancel):
                assert printed(able("clairvoyant", "test", query)) == ("a line\n", "The test was cancelled.")
        until(ended)

    def test_a_dry_run_begins_nothing(self, able, tried):
        assert printed(able("clairvoyant", "test", {**TESTED, "dry_run": "on"})) == ("Dry run\n", "")
        assert "no task 'x'" in printed(able("clairvoyant", "test", {**TESTED, "task_id": "x"}))[1]
        assert tried == []

    @pytest.mark.parametrize(
        "params",
        ["{", "[]", "1", '{"a": NaN}', '{"a": ' + "[" * 80 + "]" * 80 + "}", "x" * 60_000],
        ids=["broken", "list", "number", "nan", "deep", "long"],
    )
    def test_params_that_are_no_object_are_refused(self, able, tried, params):
        stdout, stderr = printed(able("clairvoyant", "test", form={**TESTED, "task_params": params}))
        assert (stdout, "task_params" in stderr, tried) == ("", True, [])

    def test_secrets_in_params_are_not_echoed(self, able, tried):
        params = '{"password": "Not-For-Echoes", "limit": 1}'
        for sent in ({"query": {**TESTED, "task_params": params}}, {"form": {"task_params": params}}):
            query = {**TESTED, **sent.pop("query", {})}
            told = able("clairvoyant", "test", query, **sent)
            assert printed(told)[0] == "a line\n"
            assert "Not-For-Echoes" not in told.text
            assert '"password": "***"' in told.json()["airflow_cmd"]
        assert tried[0]["params"]["password"] == "Not-For-Echoes"
