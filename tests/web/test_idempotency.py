"""`Idempotency-Key`: what a repetition is answered, and that it does nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.storage.tables import idempotency as table
from tests.web.test_gate import rows

RUNS = "/dags/manual/dagRuns"
NOW = {"logical_date": None}


def keyed(key, **headers):
    return {"Idempotency-Key": key, **headers}


def runs_of(prefix="manual__", dag_id="manual"):
    from airflow.models.dagrun import DagRun

    with unit_of_work() as session:
        found = session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag_id))
        return [run_id for run_id in found if run_id.startswith(prefix)]


def kept():
    with unit_of_work() as session:
        return session.execute(select(table)).all()


@pytest.fixture
def key(restored_database):
    return str(uuid4())


class TestTriggering:
    def test_a_repetition_gets_the_first_answer_and_makes_no_run(self, rest, key):
        before = runs_of()
        first = rest.post(RUNS, json=NOW, headers=keyed(key))
        again = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.content == again.content
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["content-type"] == "application/json"
        assert len(runs_of()) == len(before) + 1

    def test_the_id_of_the_run_follows_from_the_key(self, rest, key):
        first = rest.post(RUNS, json=NOW, headers=keyed(key)).json()["dag_run_id"]
        with unit_of_work() as session:
            session.execute(table.delete())
        # Even with our table lost, Airflow refuses a second run.
        again = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert (again.status_code, again.json()["dag_run_id"]) == (409, first)

    def test_another_body_path_or_query_is_refused(self, rest, key):
        rest.post(RUNS, json=NOW, headers=keyed(key))
        for path, body in ((RUNS, {**NOW, "note": "x"}), ("/dags/etl/dagRuns", NOW)):
            answer = rest.post(path, json=body, headers=keyed(key))
            assert answer.status_code == 422
            assert answer.json()["type"].endswith(":key-reused")

    def test_the_spelling_of_a_body_does_not_count(self, rest, key):
        text = {
            "content": b'{"note": "x", "logical_date": null}',
            "headers": {"Content-Type": "application/json"},
        }
        first = rest.post(RUNS, json={**NOW, "note": "x"}, headers=keyed(key))
        text["headers"] |= keyed(key)
        assert rest.post(RUNS, **text).content == first.content

    def test_keys_belong_to_their_caller_and_operation(self, rest, key):
        first = rest.post(RUNS, json=NOW, headers=keyed(key)).json()["dag_run_id"]
        other = rest.post(RUNS, json=NOW, headers=keyed(key), role="op").json()["dag_run_id"]
        assert first != other
        path = f"{RUNS}/{first}/clear"
        assert rest.post(path, json={"dry_run": False}, headers=keyed(key)).status_code == 200

    def test_a_refusal_is_repeated_to_the_letter(self, rest, key):
        body = {**NOW, "dag_run_id": "not/allowed"}
        first = rest.post(RUNS, json=body, headers=keyed(key))
        again = rest.post(RUNS, json=body, headers=keyed(key))
        assert (first.status_code, first.content) == (400, again.content)
        assert again.headers["content-type"] == "application/problem+json"

    def test_what_is_missing_stays_missing(self, rest, key):
        path = "/dags/no_such_dag/dagRuns"
        first = rest.post(path, json=NOW, headers=keyed(key))
        again = rest.post(path, json=NOW, headers=keyed(key))
        assert (first.status_code, first.content) == (404, again.content)

    def test_a_malformed_request_leaves_no_key(self, rest, key):
        assert rest.post(RUNS, json={"nonsense": 1}, headers=keyed(key)).status_code == 400
        assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 200

    def test_a_refusal_for_want_of_permission_is_not_kept(self, rest, key):
        assert rest.post(RUNS, json=NOW, headers=keyed(key), role="viewer").status_code == 403
        assert kept() == []

    @pytest.mark.parametrize("bad", ["", "x" * 256, "two words", "ümlaut"])
    def test_a_key_is_a_short_word(self, rest, bad):
        raw = [(b"idempotency-key", bad.encode())]
        answer = rest.post(RUNS, json=NOW, headers={"Idempotency-Key": bad.encode()} if bad else dict(raw))
        assert answer.status_code == 400

    def test_two_keys_are_refused(self, rest, token):
        headers = [
            ("Idempotency-Key", "a"),
            ("Idempotency-Key", "b"),
            ("Authorization", f"Bearer {token('admin')}"),
        ]
        answer = rest.http.post(f"/rest_api/v1{RUNS}", json=NOW, headers=headers)
        assert answer.status_code == 400

    def test_the_audit_has_one_pair_and_an_outcome_that_says_so(self, rest, key):
        before = len(rows("trigger_dag_run"))
        for _ in range(2):
            rest.post(RUNS, json=NOW, headers=keyed(key))
        told = rows("trigger_dag_run")[before:]
        assert [(row["phase"], row.get("replayed")) for row in told] == [
            ("intent", None),
            ("outcome", None),
            ("outcome", True),
        ]

    def test_the_key_is_stored_nowhere(self, rest, key):
        rest.post(RUNS, json=NOW, headers=keyed(key))
        assert key not in str(kept())

    def test_answers_are_encrypted_and_those_in_clear_are_still_read(self, rest, key):
        first = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert b"dag_run_id" not in kept()[0].body
        with unit_of_work() as session:
            session.execute(update(table).values(body=first.content))
        assert rest.post(RUNS, json=NOW, headers=keyed(key)).content == first.content

    def test_an_answer_under_a_lost_key_is_no_reason_to_do_it_again(self, rest, key):
        rest.post(RUNS, json=NOW, headers=keyed(key))
        before = runs_of()
        with unit_of_work() as session:
            session.execute(update(table).values(body=b"gAAAAA of another key"))
        answer = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert (answer.status_code, runs_of()) == (409, before)
        assert answer.json()["type"].endswith(":answer-unreadable")

    def test_an_answer_that_was_lost_after_the_commit_is_found(self, rest, key, monkeypatch):
        """The process dies between the effect and the answer."""
        from airflow_rest_api.web import answers

        def fail(*_):
            raise RuntimeError("after the commit")

        with monkeypatch.context() as patch:
            patch.setattr(answers.AnswerWriter, "write", fail)
            assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 500
        again = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
        assert runs_of().count(again.json()["dag_run_id"]) == 1

    def test_one_that_died_before_the_effect_is_carried_out_after_its_lease(self, rest, key, monkeypatch):
        def fail(*_):
            raise RuntimeError("before the commit")

        with monkeypatch.context() as patch:
            patch.setattr("airflow_rest_api.services.runs.dag_run_creation._create", fail)
            patch.setattr(retries, "give_up", lambda _: None)  # a process that is killed gives nothing up
            assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 500
        waiting = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert (waiting.status_code, waiting.headers["retry-after"]) == (409, "1")
        assert waiting.json()["type"].endswith(":still-running")
        past = retries._now() - timedelta(seconds=1)
        with unit_of_work() as session:
            session.execute(update(table).values(locked_until=past))
        answer = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert answer.status_code == 200
        assert rest.post(RUNS, json=NOW, headers=keyed(key)).content == answer.content

    def test_a_slow_call_that_was_taken_over_has_no_effect(self, rest, key, monkeypatch):
        """Two carry out one call: the first one's transaction is undone, whenever it comes to its end."""
        monkeypatch.setattr(retries, "_mark", lambda *_: False)
        before = runs_of()
        answer = rest.post(RUNS, json=NOW, headers=keyed(key))
        assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
        assert runs_of() == before

    def test_a_fault_is_not_kept(self, rest, key, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr("airflow_rest_api.services.runs.dag_run_creation._create", lambda *_: 1 / 0)
            assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 500
        assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 200

    def test_a_claim_that_cannot_be_given_up_runs_out(self, rest, key, monkeypatch):
        def away(*_):
            raise errors.DatabaseUnavailable

        with monkeypatch.context() as patch:
            patch.setattr("airflow_rest_api.services.runs.dag_run_creation._create", away)
            patch.setattr(retries, "give_up", away)
            assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 503
        assert rest.post(RUNS, json=NOW, headers=keyed(key)).status_code == 409

    def test_a_key_is_forgotten_after_a_day(self, rest, key):
        rest.post(RUNS, json=NOW, headers=keyed(key))
        with unit_of_work() as session:
            session.execute(update(table).values(expires_at=retries._now() - timedelta(seconds=1)))
        rest.post(RUNS, json=NOW, headers=keyed(str(uuid4())))
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 1


class TestOnConflict:
    def test_the_run_that_is_there_is_answered(self, rest, new_run):
        run = new_run("manual", note="The first one.")
        body = {**NOW, "dag_run_id": run.dag_run_id, "note": "Another.", "on_conflict": "return_existing"}
        answer = rest.post(RUNS, json=body)
        assert answer.status_code == 200
        assert answer.json() == rest.get(run.path).json()
        assert answer.json()["note"] == "The first one."

    def test_the_run_of_the_logical_date_is_answered(self, rest, restored_database):
        date = {"logical_date": "2031-01-01T00:00:00Z"}
        first = rest.post(RUNS, json=date).json()
        answer = rest.post(RUNS, json={**date, "dag_run_id": "other", "on_conflict": "return_existing"})
        assert (answer.status_code, answer.json()["dag_run_id"]) == (200, first["dag_run_id"])

    def test_by_default_it_is_refused(self, rest, new_run):
        run = new_run("manual")
        for further in ({}, {"on_conflict": "fail"}):
            body = {**NOW, "dag_run_id": run.dag_run_id, **further}
            assert rest.post(RUNS, json=body).status_code == 409

    def test_a_run_that_is_gone_by_then_is_a_conflict(self, rest, new_run, monkeypatch):
        run = new_run("manual")
        monkeypatch.setattr(
            "airflow_rest_api.services.runs.dag_run_creation.DagRunAlreadyExists.__init__", lost_sight_of
        )
        body = {**NOW, "dag_run_id": run.dag_run_id, "on_conflict": "return_existing"}
        assert rest.post(RUNS, json=body).status_code == 409

    def test_with_a_key_the_answer_is_kept(self, rest, new_run, key):
        run = new_run("manual")
        body = {**NOW, "dag_run_id": run.dag_run_id, "on_conflict": "return_existing"}
        first = rest.post(RUNS, json=body, headers=keyed(key))
        assert rest.post(RUNS, json=body, headers=keyed(key)).content == first.content


def lost_sight_of(self, dag_id, dag_run_id, logical_date):
    errors.AlreadyExists.__init__(self, "It was there a moment ago.")
    self.dag_id, self.dag_run_id, self.logical_date = dag_id, "gone", logical_date


class TestClearing:
    def test_a_run_is_cleared_once(self, rest, new_run, key):
        run = new_run("manual", state="success", task_states={"first": "success", "second": "success"})
        path, body = f"{run.path}/clear", {"dry_run": False}
        first = rest.post(path, json=body, headers=keyed(key))
        rest.patch(run.path, json={"state": "success"})
        again = rest.post(path, json=body, headers=keyed(key))
        assert (first.status_code, again.content) == (200, first.content)
        assert rest.get(run.path).json()["state"] == "success"

    def test_several_runs_are_cleared_once(self, rest, new_run, key):
        run = new_run("manual", state="success")
        body = {"dry_run": False, "dag_runs": [{"dag_run_id": run.dag_run_id}]}
        first = rest.post("/dags/manual/clearDagRuns", json=body, headers=keyed(key))
        again = rest.post("/dags/manual/clearDagRuns", json=body, headers=keyed(key))
        assert (first.status_code, again.content) == (200, first.content)

    def test_a_dry_run_is_kept_too_and_leaves_one_outcome(self, rest, new_run, key):
        run = new_run("manual", state="success")
        before = len(rows("clear_dag_run"))
        first = rest.post(f"{run.path}/clear", json={}, headers=keyed(key))
        again = rest.post(f"{run.path}/clear", json={}, headers=keyed(key))
        assert (first.status_code, again.content) == (200, first.content)
        told = rows("clear_dag_run")[before:]
        assert [(row["phase"], row.get("dry_run"), row.get("replayed")) for row in told] == [
            ("outcome", True, None),
            ("outcome", None, True),
        ]


def many(rest, calls, call):
    """Make calls at once; each repeats a 409 of a running first call until that has its answer."""

    def settle(number):
        answer = call(number)
        while answer.status_code == 409 and answer.json()["type"].endswith(":still-running"):
            answer = call(number)
        return answer

    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(settle, range(calls)))


def one_run(rest, calls=100):
    key, before = str(uuid4()), runs_of()
    answers = many(rest, calls, lambda _: rest.post(RUNS, json=NOW, headers=keyed(key)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(runs_of()) == len(before) + 1


def one_winner(rest, calls=60):
    body = {**NOW, "dag_run_id": f"one-{uuid4().hex}"}
    answers = many(
        rest, calls, lambda number: rest.post(RUNS, json=body, headers=keyed(f"{number}-{uuid4()}"))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, *[409] * (calls - 1)]
    assert runs_of(body["dag_run_id"]) == [body["dag_run_id"]]


class TestManyAtOnce:
    def test_retries_of_one_call_make_one_run(self, rest, restored_database):
        one_run(rest)

    def test_of_calls_for_one_run_one_wins(self, rest, restored_database):
        one_winner(rest)

    @pytest.mark.postgres
    def test_on_postgresql_they_do_as_well(self, rest):
        one_run(rest)
        one_winner(rest)


class TestThisTestItself:
    def test_without_the_claim_there_would_be_many_runs(self, rest, monkeypatch, restored_database):
        from airflow_rest_api.web.idempotency import Idempotency

        monkeypatch.setattr(
            Idempotency,
            "claim",
            lambda self, operation, current, key: retries.Claim(uuid4().hex * 2, "x", 200),
        )
        monkeypatch.setattr(retries, "_mark", lambda *_: True)
        with pytest.raises(AssertionError):
            one_run(rest, 5)
