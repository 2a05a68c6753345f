"""What the event log has of each change: the objects in columns, and the masked fields in `extra`."""

from __future__ import annotations

import json

import pytest
from airflow.models.log import Log
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_rest_api.security import audit_fields

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]
SECRET = "correct-horse-battery-staple"
CONNECTION = {
    "connection_id": "logged",
    "conn_type": "http",
    "host": "example.com",
    "password": SECRET,
    "extra": json.dumps({"harmless": SECRET}),
}
VARIABLE = {"key": "logged", "value": SECRET, "description": "For a test."}


def rows(event):
    with create_session(scoped=False) as session:
        return session.scalars(select(Log).where(Log.event == event).order_by(Log.id)).all()


def last(event):
    """The extra of the newest row."""
    return json.loads(rows(event)[-1].extra)


def events_of(rest, run):
    told = rest.get("/eventLogs", params={"run_id": run.dag_run_id, "dag_id": run.dag_id, "limit": 100})
    return {(row["event"], json.loads(row["extra"])["phase"]) for row in told.json()["event_logs"]}


class TestRunsNamedByTheBody:
    def test_a_trigger_is_found_by_the_run_that_it_created(self, rest):
        made = rest.post("/dags/manual/dagRuns", json={"logical_date": None, "conf": {"a": 1}}).json()
        told = rest.get("/eventLogs", params={"run_id": made["dag_run_id"]}).json()["event_logs"]
        assert [(row["event"], row["dag_id"]) for row in told] == [("trigger_dag_run", "manual")]
        assert json.loads(told[0]["extra"])["conf"] == {"a": 1}

    def test_a_trigger_is_found_by_the_id_that_was_sent(self, rest):
        body = {"logical_date": "2031-05-01T00:00:00Z", "dag_run_id": "sent"}
        assert rest.post("/dags/manual/dagRuns", json=body).status_code == 200
        found = rows("trigger_dag_run")[-2:]
        assert [row.run_id for row in found] == ["sent", "sent"]
        assert {row.logical_date.isoformat() for row in found} == {"2031-05-01T00:00:00+00:00"}

    @pytest.mark.parametrize("answer", [409, 400])
    def test_a_rejected_trigger_names_the_run_that_was_sent(self, rest, new_run, answer):
        run = new_run("manual")
        body = {"logical_date": None, "dag_run_id": run.dag_run_id if answer == 409 else "scheduled__x"}
        assert rest.post("/dags/manual/dagRuns", json=body).status_code == answer
        assert {row.run_id for row in rows("trigger_dag_run")[-2:]} == {body["dag_run_id"]}

    def test_a_dry_run_names_no_run_that_was_undone(self, rest):
        rest.post("/dags/manual/dagRuns", json={"logical_date": None}, params={"dry_run": True})
        assert rows("trigger_dag_run")[-1].run_id is None

    def test_a_clear_of_task_instances(self, rest, new_run):
        run = new_run("manual", state="success", task_states={"first": "success"})
        body = {"dag_run_id": run.dag_run_id, "task_ids": ["first"], "dry_run": False}
        assert rest.post("/dags/manual/clearTaskInstances", json=body).status_code == 200
        assert events_of(rest, run) == {
            ("post_clear_task_instances", "intent"),
            ("post_clear_task_instances", "outcome"),
        }
        assert last("post_clear_task_instances")["task_ids"] == ["first"]

    def test_an_isolated_task_is_found_by_both_runs(self, rest, new_run):
        run = new_run("manual", state="success", task_states={"alone": "success"})
        answer = rest.post(f"{run.path}/taskInstances/alone/run", params={"isolated": True}).json()
        found = [(row.run_id, row.task_id) for row in rows("run_task_instance")[-2:]]
        assert found == [(run.dag_run_id, "alone"), (answer["dag_run_id"], "alone")]

    def test_a_bulk_change_of_one_run(self, rest, new_run):
        run = new_run("manual", task_states={"first": "running"})
        entity = {
            "task_id": "first",
            "new_state": "success",
            "dag_id": run.dag_id,
            "dag_run_id": run.dag_run_id,
        }
        body = {"actions": [{"action": "update", "entities": [entity]}]}
        assert rest.patch("/dags/~/dagRuns/~/taskInstances", json=body).status_code == 200
        row = rows("bulk_task_instances")[-1]
        assert (row.dag_id, row.run_id, row.task_id) == (run.dag_id, run.dag_run_id, "first")

    def test_a_bulk_change_of_several_runs_has_them_in_its_fields(self, rest, new_run):
        runs = [new_run("manual"), new_run("manual")]
        entities = [{"dag_run_id": run.dag_run_id, "dag_id": run.dag_id, "state": "failed"} for run in runs]
        body = {"actions": [{"action": "update", "entities": entities}]}
        rest.patch("/dags/~/dagRuns", json=body)
        row = rows("bulk_dag_runs")[-1]
        assert (row.dag_id, row.run_id) == ("manual", None)
        assert json.loads(row.extra)["actions"][0]["entities"] == entities

    def test_a_backfill_names_its_dag(self, rest):
        body = {"dag_id": "etl", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}
        rest.post("/backfills", json=body)
        assert {row.dag_id for row in rows("create_backfill")[-2:]} == {"etl"}


class TestOldCalls:
    def test_a_trigger_is_found_by_its_run(self, rest, old):
        arguments = {"dag_id": "manual", "exec_date": "2026-02-09", "conf": f'{{"password": "{SECRET}"}}'}
        assert "Created" in old("clairvoyant", "trigger_dag", arguments).text
        row = rows("trigger_dag")[-1]
        assert (row.dag_id, row.run_id) == ("manual", "manual__2026-02-09T00:00:00+00:00")
        assert row.logical_date.isoformat() == "2026-02-09T00:00:00+00:00"
        assert last("trigger_dag")["conf"] == {"password": "***"}

    def test_a_clear_by_date_is_found_by_its_run(self, rest, old, scenario):
        date = "2026-01-05T01:30:00+00:00"
        old("clairvoyant", "clear", {"dag_id": "etl", "execution_date": date})
        row = rows("clear")[-1]
        assert (row.dag_id, row.run_id) == ("etl", scenario.succeeded.dag_run_id)

    def test_secrets_of_old_calls_are_masked(self, rest, old):
        call = {"cmd": "set", "key": "logged_old", "value": SECRET}
        assert old("clairvoyant", "variables", form=call).status_code == 200
        extra = last("variables")
        assert (extra["key"], extra["value"]) == ("logged_old", "***")
        added = {"add": "true", "conn_id": "old_one", "conn_uri": f"http://a:{SECRET}@b"}
        old("clairvoyant", "connections", form=added)
        assert last("connections")["conn_id"] == "old_one"


class TestFields:
    def test_what_was_set_is_recorded(self, rest):
        rest.patch("/dags/manual", json={"is_paused": True})
        assert last("patch_dag")["is_paused"] is True
        rest.post("/pools", json={"name": "logged", "slots": 7})
        assert (last("post_pool")["name"], last("post_pool")["slots"]) == ("logged", 7)
        rest.patch("/pools/logged", json={"slots": 8}, params={"update_mask": "slots"})
        extra = last("patch_pool")
        assert (extra["pool_name"], extra["slots"], extra["update_mask"]) == ("logged", 8, ["slots"])

    def test_a_header_is_not_recorded(self, rest):
        headers = {"Idempotency-Key": "a-key-of-the-event-log"}
        rest.patch("/dags/manual", json={"is_paused": False}, headers=headers)
        assert "a-key-of-the-event-log" not in rows("patch_dag")[-1].extra

    def test_a_body_replaces_none_of_our_facts(self, rest, new_run):
        run = new_run("manual")
        rest.patch(run.path, json={"state": "failed", "note": "By hand."})
        extra = last("patch_dag_run")
        assert (extra["phase"], extra["status"], extra["state"], extra["note"]) == (
            "outcome",
            200,
            "failed",
            "By hand.",
        )

    @pytest.mark.parametrize("is_hidden", ["True", "False"])
    def test_values_and_passwords_are_masked_whatever_the_settings_say(self, rest, is_hidden, monkeypatch):
        from airflow._shared.secrets_masker import secrets_masker

        masker = secrets_masker._secrets_masker()
        monkeypatch.setattr(masker, "hide_sensitive_var_conn_fields", is_hidden == "True")
        bulk = {"action": "create", "action_on_existence": "overwrite"}
        rest.post("/variables", json=VARIABLE)
        rest.patch("/variables", json={"actions": [{**bulk, "entities": [VARIABLE]}]})
        rest.post("/connections", json=CONNECTION)
        rest.put("/connections/logged", json=CONNECTION)
        rest.patch("/connections", json={"actions": [{**bulk, "entities": [CONNECTION]}]})
        told = [row.extra for event in ("post", "put", "bulk") for row in all_of(event)]
        assert told
        assert not [extra for extra in told if extra and SECRET in extra]
        assert last("post_variable")["value"] == "***"
        assert last("post_variable")["description"] == "For a test."
        made = last("post_connection")
        assert (made["host"], made["password"], made["extra"]) == ("example.com", "***", {"harmless": "***"})
        (entity,) = last("bulk_variables")["actions"][0]["entities"]
        assert (entity["key"], entity["value"]) == ("logged", "***")

    def test_names_decide_what_is_masked_in_a_configuration(self, rest):
        conf = {"deep": [{"api_key": SECRET, "plain": "kept"}]}
        rest.post("/dags/manual/dagRuns", json={"logical_date": None, "conf": conf})
        assert last("trigger_dag_run")["conf"] == {"deep": [{"api_key": "***", "plain": "kept"}]}

    @pytest.mark.parametrize(
        "conf",
        [{"a": "x" * 100_000}, {"a": list(range(20_000))}, {str(n): n for n in range(10_000)}],
        ids=("text", "list", "names"),
    )
    def test_a_large_body_is_cut(self, rest, conf):
        rest.post("/dags/manual/dagRuns", json={"logical_date": None, "conf": conf, "note": "After it."})
        assert len(rows("trigger_dag_run")[-1].extra) < 5 * audit_fields.MOST
        assert "conf" in last("trigger_dag_run")

    def test_a_login_has_no_fields(self, rest):
        body = {"username": "admin", "password": "admin-password"}
        assert rest.post("/security/login", json=body, role=None).status_code == 200
        assert "username" not in last("login")


def all_of(prefix):
    with create_session(scoped=False) as session:
        return session.scalars(select(Log).where(Log.event.startswith(prefix))).all()
