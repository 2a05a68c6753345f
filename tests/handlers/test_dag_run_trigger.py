"""Triggering runs: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import count
from uuid import uuid4

import pytest

from tests.support.dag_runs import anonymous, of_type
from tests.support.scenario import Run
from tests.support.twins import assert_equal, remains

DAY = datetime(2027, 1, 1, tzinfo=timezone.utc)
FRESH = {"logical_date": None}
_days = count()


def a_day() -> str:
    """A logical date that no other test takes."""
    return (DAY + timedelta(days=next(_days))).isoformat()


def an_id() -> str:
    return f"catch-up-{uuid4().hex}"


class TestTriggerDagRun:
    @pytest.mark.parametrize(
        ("dag_id", "body"),
        [
            ("manual", {"logical_date": None}),
            ("manual", {"logical_date": None, "conf": {"a": [1, {"b": None}]}, "note": "By hand."}),
            (
                "manual",
                {"logical_date": None, "conf": None, "note": None, "run_after": None, "dag_run_id": None},
            ),
            ("manual", {"logical_date": None, "conf": {}, "note": ""}),
            ("manual", {"logical_date": None, "dag_run_id": ""}),
            (
                "manual",
                {
                    "logical_date": None,
                    "data_interval_start": "2026-05-01T10:00:00Z",
                    "data_interval_end": "2026-05-02T10:00:00Z",
                },
            ),
            ("example_bash_operator", {"logical_date": None, "conf": {"example_key": "else"}}),
            ("etl", {"logical_date": None, "conf": {"limit": 5, "mode": "delta"}}),
            ("mapped", {"logical_date": None}),
            ("partitioned", {"logical_date": None, "partition_key": "2026-04-01"}),
        ],
        ids=str,
    )
    def test_it_makes_the_run_that_airflow_makes(self, parity, v2, dag_id, body):
        ours, theirs = parity("POST", f"/dags/{dag_id}/dagRuns", json=body, normalise=anonymous)
        made = [Run(dag_id, answer.json()["dag_run_id"]) for answer in (ours, theirs)]
        assert_equal(remains(v2, made[0]), remains(v2, made[1]), ours)

    @pytest.mark.parametrize(
        "times",
        [
            {"logical_date": "2027-06-02T05:00:00+02:00"},
            {"logical_date": "2027-06-02T05:00:00.120Z", "run_after": "2027-06-03T00:00:00-05:00"},
            {"logical_date": None, "run_after": "2027-06-02T05:00:00+02:00"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        "dag_id",
        ["manual", "example_bash_operator", "etl", "by_delta", "by_trigger_timetable", "needs_params"],
    )
    def test_times_and_intervals_are_those_of_airflow(self, v2, rest, dag_id, times):
        body = {**times, "conf": {"day": "2027-06-02"}}
        theirs = v2.post(f"/dags/{dag_id}/dagRuns", json=body)
        # The same date cannot have two runs.
        v2.delete(f"/dags/{dag_id}/dagRuns/{theirs.json().get('dag_run_id')}")
        ours = rest.post(f"/dags/{dag_id}/dagRuns", json=body)
        assert ours.status_code == theirs.status_code
        if theirs.is_success:
            rest.delete(f"/dags/{dag_id}/dagRuns/{ours.json()['dag_run_id']}")
            assert_equal(anonymous(ours.json()), anonymous(theirs.json()), ours)

    def test_an_interval_can_be_given(self, rest):
        interval = {
            "data_interval_start": "2027-01-01T00:00:00Z",
            "data_interval_end": "2027-01-08T00:00:00Z",
        }
        answer = rest.post("/dags/manual/dagRuns", json={"logical_date": a_day(), **interval})
        assert {name: answer.json()[name] for name in interval} == interval

    def test_the_run_is_queued_and_names_who_triggered_it(self, rest):
        answer = rest.post("/dags/manual/dagRuns", json={**FRESH, "note": "By hand."}, role="op")
        run = answer.json()
        assert (run["state"], run["run_type"], run["triggered_by"]) == ("queued", "manual", "rest_api")
        assert (run["triggering_user_name"], run["note"]) == ("op", "By hand.")

    def test_a_referer_does_not_make_it_a_click(self, rest):
        # Airflow writes `ui` then; a script may send one, too.
        answer = rest.post("/dags/manual/dagRuns", json=FRESH, headers={"Referer": "http://example.com/"})
        assert answer.json()["triggered_by"] == "rest_api"

    @pytest.mark.parametrize(
        ("dag_id", "body", "name"),
        [
            ("manual", {**FRESH, "dag_run_id": "scheduled__2026-01-01"}, "dag-run-rejected"),
            ("manual", {**FRESH, "dag_run_id": "a..b"}, "dag-run-rejected"),
            ("manual", {**FRESH, "dag_run_id": "a/b"}, "dag-run-rejected"),
            ("manual", {**FRESH, "dag_run_id": "a b"}, "dag-run-rejected"),
            ("manual", {**FRESH, "partition_key": "2026-04-01"}, "dag-run-rejected"),
            ("partitioned", {**FRESH, "partition_key": " "}, "dag-run-rejected"),
            ("partitioned", {**FRESH, "partition_key": "April"}, "dag-run-rejected"),
            ("etl", {**FRESH, "conf": {"limit": 0}}, "dag-run-rejected"),
            ("needs_params", FRESH, "dag-run-rejected"),
            ("scheduler_only", FRESH, "manual-runs-not-allowed"),
            ("breaks_and_stays", FRESH, "dag-has-import-errors"),
            ("no_such_dag", FRESH, "dag-not-found"),
            ("removed", FRESH, "dag-not-found"),
            ("~", FRESH, "dag-not-found"),
            ("manual", {**FRESH, "data_interval_start": "2026-05-01T10:00:00Z"}, "data-interval-incomplete"),
            ("manual", {**FRESH, "data_interval_end": "2026-05-01T10:00:00Z"}, "data-interval-incomplete"),
            ("manual", {}, "malformed"),
            ("manual", {**FRESH, "colour": "blue"}, "malformed"),
            ("manual", {"logical_date": "yesterday"}, "malformed"),
            ("manual", {"logical_date": "2026-05-01T10:00:00"}, "malformed"),
            ("manual", {**FRESH, "conf": []}, "malformed"),
            ("manual", {**FRESH, "dag_run_id": 5}, "malformed"),
        ],
        ids=str,
    )
    def test_what_airflow_refuses_is_refused(self, parity, dag_id, body, name):
        ours, _ = parity("POST", f"/dags/{dag_id}/dagRuns", json=body)
        of_type(ours, name)

    @pytest.mark.parametrize(
        "body",
        [
            {**FRESH, "run_after": "2026-05-01T10:00:00"},  # which zone is meant, nobody knows
            {**FRESH, "note": "x" * 1001},  # PostgreSQL cannot hold it
            {**FRESH, "dag_run_id": "x" * 251},  # neither this
        ],
        ids=("no zone", "long note", "long id"),
    )
    def test_what_airflow_only_refuses_on_some_installations_is_refused(self, rest, body):
        assert rest.post("/dags/manual/dagRuns", json=body).status_code == 400

    @pytest.mark.parametrize(
        "date", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
    )
    @pytest.mark.parametrize("dag_id", ["manual", "example_bash_operator", "by_delta"])
    def test_dates_at_the_edges_of_the_calendar_are_no_fault_of_ours(self, rest, dag_id, date):
        # Airflow fails on most of them (500).
        answer = rest.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": date, "run_after": date})
        assert answer.status_code in (200, 400)
        if answer.is_success:
            assert rest.delete(f"/dags/{dag_id}/dagRuns/{answer.json()['dag_run_id']}").status_code == 204

    @pytest.mark.parametrize("same", ["dag_run_id", "logical_date"])
    def test_a_second_run_of_one_id_or_one_date_is_a_conflict(self, parity, rest, same):
        first = {"dag_run_id": an_id(), "logical_date": a_day()}
        assert rest.post("/dags/manual/dagRuns", json=first).status_code == 200
        second = {"dag_run_id": an_id(), "logical_date": a_day()} | {same: first[same]}
        ours, _ = parity("POST", "/dags/manual/dagRuns", json=second)
        assert ours.status_code == 409
        of_type(ours, "dag-run-already-exists")
        assert f"'{first['dag_run_id']}'" in ours.json()["detail"]
        assert ours.json()["dag_run_id"] == first["dag_run_id"]
        assert ours.json()["conflicts"] == [{"field": same, "dag_run_id": first["dag_run_id"]}]

    @pytest.mark.parametrize("params", [{}, {"dry_run": True}], ids=("trigger", "dry run"))
    def test_a_taken_date_names_the_run_that_has_it(self, rest, params):
        date = a_day()
        first = rest.post("/dags/manual/dagRuns", json={"dag_run_id": an_id(), "logical_date": date}).json()
        answer = rest.post("/dags/manual/dagRuns", json={"logical_date": date}, params=params)
        assert answer.status_code == 409
        assert answer.json()["dag_run_id"] == first["dag_run_id"]
        assert answer.json()["detail"] == (
            f"The DAG 'manual' already has a run with the logical date '{date}': '{first['dag_run_id']}'."
        )

    def test_a_conflict_with_two_runs_names_both(self, rest):
        of_id, of_date = (
            rest.post("/dags/manual/dagRuns", json={"dag_run_id": an_id(), "logical_date": a_day()}).json()
            for _ in range(2)
        )
        body = {"dag_run_id": of_id["dag_run_id"], "logical_date": of_date["logical_date"]}
        problem = rest.post("/dags/manual/dagRuns", json=body).json()
        assert problem["dag_run_id"] == of_id["dag_run_id"]
        assert problem["conflicts"] == [
            {"field": "dag_run_id", "dag_run_id": of_id["dag_run_id"]},
            {"field": "logical_date", "dag_run_id": of_date["dag_run_id"]},
        ]
        assert all(f"'{run['dag_run_id']}'" in problem["detail"] for run in (of_id, of_date))
        kept = rest.post("/dags/manual/dagRuns", json={**body, "on_conflict": "return_existing"})
        assert kept.json()["dag_run_id"] == of_id["dag_run_id"]

    def test_a_refused_run_leaves_nothing(self, rest):
        run_id = an_id()
        body = {**FRESH, "dag_run_id": run_id, "conf": {"limit": 0}}
        assert rest.post("/dags/etl/dagRuns", json=body).status_code == 400
        assert rest.get(f"/dags/etl/dagRuns/{run_id}").status_code == 404

    def test_twenty_at_once_are_all_made(self, rest):
        def trigger(number):
            return rest.post("/dags/manual/dagRuns", json={**FRESH, "conf": {"number": number}})

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(trigger, range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["dag_run_id"] for answer in answers}) == 20

    def test_of_twenty_at_once_with_one_id_one_is_made(self, rest):
        body = {**FRESH, "dag_run_id": an_id()}
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: rest.post("/dags/manual/dagRuns", json=body), range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19

    @pytest.mark.postgres
    def test_on_postgresql_conflicts_are_told_too(self, parity):
        body = {"dag_run_id": an_id(), "logical_date": a_day()}
        first, _ = parity("POST", "/dags/manual/dagRuns", json=FRESH, normalise=anonymous)
        assert first.status_code == 200
        parity("POST", "/dags/manual/dagRuns", json={**FRESH, "dag_run_id": first.json()["dag_run_id"]})
        parity("POST", "/dags/etl/dagRuns", json={**body, "conf": {"limit": 0}})

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200), ("op", 200)]
    )
    def test_who_may_trigger(self, parity, role, status):
        ours, _ = parity("POST", "/dags/manual/dagRuns", json=FRESH, role=role, normalise=anonymous)
        assert ours.status_code == status


class TestDryRun:
    @pytest.fixture
    def before(self, rest, restored_database):
        return rest.get("/dags/~/dagRuns", params={"limit": 1}).json()["total_entries"]

    def previewed(self, rest, dag_id="manual", **body):
        answer = rest.post(
            f"/dags/{dag_id}/dagRuns", params={"dry_run": True}, json={"logical_date": None, **body}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def test_it_answers_the_run_that_would_be_made_and_makes_none(self, rest, before):
        would = self.previewed(rest, dag_run_id="would-be", note="A note.", conf={"a": 1})
        assert rest.get("/dags/~/dagRuns", params={"limit": 1}).json()["total_entries"] == before
        assert rest.get("/dags/manual/dagRuns/would-be").status_code == 404
        preview = would.pop("preview")
        made = rest.post(
            "/dags/manual/dagRuns",
            json={"logical_date": None, "dag_run_id": "would-be", "note": "A note.", "conf": {"a": 1}},
        ).json()
        moments = ("queued_at", "run_after")
        assert {**would, **dict.fromkeys(moments)} == {**made, **dict.fromkeys(moments)}
        tasks = rest.get("/dags/manual/dagRuns/would-be/taskInstances").json()["total_entries"]
        assert preview["task_instances"] == tasks > 0

    def test_it_tells_what_would_hold_the_run_back(self, rest, before):
        # Nobody schedules in these tests.
        dead = ["no_scheduler_alive", "no_dag_processor_alive"]
        rest.patch("/dags/manual", json={"is_paused": False})
        assert self.previewed(rest)["preview"]["held_back_by"] == dead
        rest.patch("/dags/manual", json={"is_paused": True})
        later = self.previewed(rest, run_after="2040-01-01T00:00:00Z")
        told = ["dag_is_paused", "run_after_lies_ahead"]
        assert later["preview"]["held_back_by"] == [dead[0], *told, dead[1]]

    @pytest.mark.in_process
    def test_it_tells_of_too_many_runs(self, rest, new_run, before):
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session

        new_run("manual", state="running")
        with create_session(scoped=False) as session:
            session.get(DagModel, "manual").max_active_runs = 1
        assert "max_active_runs_reached" in self.previewed(rest)["preview"]["held_back_by"]

    def test_what_would_be_refused_is_refused(self, rest, new_run, before):
        run = new_run("manual")
        for body, status in (({"dag_run_id": run.dag_run_id}, 409), ({"dag_run_id": "a/b"}, 400)):
            answer = rest.post(
                "/dags/manual/dagRuns", params={"dry_run": True}, json={"logical_date": None, **body}
            )
            assert answer.status_code == status

    def test_a_real_answer_has_no_preview(self, rest, before):
        assert "preview" not in rest.post("/dags/manual/dagRuns", json={"logical_date": None}).json()

    def test_it_leaves_one_outcome(self, rest, before):
        events = {"event": "trigger_dag_run", "order_by": "-id", "limit": 1}
        self.previewed(rest)
        (row,) = rest.get("/eventLogs", params=events).json()["event_logs"]
        assert '"dry_run": true' in row["extra"]
        assert '"phase": "outcome"' in row["extra"]
