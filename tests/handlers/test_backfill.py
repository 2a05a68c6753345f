"""Backfills: `openapi/paths/backfill.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import event, select, update

from tests.support import shared_calls, template
from tests.support.shared_calls_of import backfill as shared
from tests.support.shared_calls_of.backfill import DAILY, EVERY_THREE_HOURS, body

pytestmark = pytest.mark.usefixtures("restored_database")
# What differs between two backfills that were made alike: keys, moments, and the ids of traces.
DIFFERING = {"id", "context_carrier", "dag_run_id", "run_id", "task_instance_id"}


def rows():
    """All that backfills leave in the database, by table, without what has to differ."""
    from airflow.models.backfill import Backfill, BackfillDagRun
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory

    from airflow_rest_api.services.database import unit_of_work

    ordering = {
        Backfill: ("id",),
        BackfillDagRun: ("backfill_id", "sort_ordinal"),
        DagRun: ("id",),
        TaskInstance: ("run_id", "task_id", "map_index"),
        TaskInstanceHistory: ("run_id", "task_id", "map_index", "try_number"),
    }
    with unit_of_work() as session:
        return {
            model.__name__: [
                {name: near(value) for name, value in row._mapping.items() if name not in DIFFERING}
                for row in session.execute(
                    select(model.__table__).order_by(*(model.__table__.c[name] for name in order))
                )
            ]
            for model, order in ordering.items()
        }


def near(value):
    recent = isinstance(value, datetime) and abs((datetime.now(timezone.utc) - value).total_seconds()) < 120
    return "now" if recent else value


def made(rest, **options):
    answer = rest.post("/backfills", json=body(**options))
    assert answer.status_code == 200, answer.text
    return answer.json()


def runs_of(rest, dag_id, first="2026-02-01T00:00:00Z", last="2026-02-28T00:00:00Z"):
    """The runs of a DAG in February by their dates."""
    query = {"logical_date_gte": first, "logical_date_lte": last, "order_by": "logical_date"}
    found = rest.get(f"/dags/{dag_id}/dagRuns", params=query).json()["dag_runs"]
    return {run["logical_date"][:10]: run for run in found}


def set_runs(states, seconds=None):
    """Give the runs of the newest backfill these states, in the order of their dates."""
    from airflow.models.backfill import BackfillDagRun
    from airflow.models.dagrun import DagRun

    from airflow_rest_api.services.database import unit_of_work

    with unit_of_work() as session:
        newest = select(BackfillDagRun.backfill_id).order_by(BackfillDagRun.backfill_id.desc()).limit(1)
        members = select(BackfillDagRun.dag_run_id).where(
            BackfillDagRun.backfill_id == newest.scalar_subquery()
        )
        runs = session.scalars(select(DagRun).where(DagRun.id.in_(members)).order_by(DagRun.logical_date))
        for run, state in zip(runs.unique().all(), states, strict=False):
            run.state = state
            if seconds:
                run.start_date, run.end_date = run.run_after, run.run_after + timedelta(seconds=seconds)


class TestListBackfills:
    @pytest.mark.slow
    def test_reads_refusals_and_pauses_are_those_of_airflow(self, rest, v2):
        shared_calls.assert_alike(shared.CALLS, rest, v2, normalise=shared.normalise)

    @pytest.mark.in_process
    def test_those_of_all_dags_are_listed_with_few_statements(self, rest):
        first, second = made(rest)["id"], made(rest, dag_id=EVERY_THREE_HOURS)["id"]
        statements = []

        def note(_conn, _cursor, statement, *_):
            statements.append(statement)

        from airflow.settings import engine

        event.listen(engine, "before_cursor_execute", note)
        listed = rest.get("/backfills", params={"order_by": "-id"}).json()
        event.remove(engine, "before_cursor_execute", note)

        assert [entry["id"] for entry in listed["backfills"]] == [second, first, 1]
        assert listed["total_entries"] == 3
        assert [entry["progress"]["total"] for entry in listed["backfills"]] == [33, 5, 1]
        assert len([one for one in statements if "backfill" in one]) == 2

    def test_the_active_ones_are_told_from_the_others(self, rest):
        number = made(rest)["id"]
        rest.put(f"/backfills/{number}/cancel")

        def listed(active):
            return [
                entry["id"] for entry in rest.get("/backfills", params={"active": active}).json()["backfills"]
            ]

        assert (listed(True), listed(False)) == ([1], [number])


class TestCreateBackfill:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("sent", "before"),
        [
            (body(), None),
            (body(run_backwards=True, max_active_runs=3, dag_run_conf={"example_key": "x"}), None),
            (body(first="2025-12-30", last="2026-01-03"), None),
            (body(first="2025-12-30", last="2026-01-03", reprocess_behavior="completed", dag_run_conf={}), None),
            (body(first="2025-12-30", last="2026-01-03", reprocess_behavior="failed"), None),
            (body(reprocess_behavior="failed", run_on_latest_version=False), ["failed", "success", "queued"]),
            (body(reprocess_behavior="completed"), ["failed", "success", "running"]),
            (body("partitioned"), None),
            (body("scheduler_only", max_active_runs=0), None),
            ({**body(EVERY_THREE_HOURS), "to_date": "2026-02-01T11:00:00+02:00"}, None),
        ],
        ids=[
            "five-days", "backwards", "one-exists", "one-is-done-again", "one-has-not-failed", "failed-again",
            "completed-again", "partitions", "none-at-once", "in-a-zone",
        ],
    )  # fmt: skip
    def test_it_leaves_behind_what_airflow_does(self, rest, v2, home, sent, before):
        left = []
        for client in (v2, rest):
            if before is not None:
                set_up = v2.post("/backfills", json=body()).json()["id"]
                set_runs(before)
                v2.put(f"/backfills/{set_up}/cancel")
            answer = client.post("/backfills", json=sent)
            assert answer.status_code == 200, answer.text
            told = shared.normalise(answer.json())
            assert told.pop("created_at") <= datetime.now(timezone.utc).isoformat()
            left.append((told, rows()))
            template.restore(home)
        (theirs, their_rows), (ours, our_rows) = left
        assert ours == theirs
        for name, found in our_rows.items():
            assert found == their_rows[name], name
        assert len(our_rows["BackfillDagRun"]) > 1

    @pytest.mark.parametrize("kind", shared.REFUSED)
    def test_each_refusal_has_a_type_of_its_own_and_leaves_nothing(self, rest, kind):
        before = rows()
        answer = rest.post("/backfills", json=shared.REFUSED[kind])
        assert answer.json()["type"].rpartition(":")[2] == kind
        assert rows() == before

    def test_what_depends_on_the_past_and_what_is_not_allowed_is_refused(self, rest, v2):
        from airflow.models.dag import DagModel

        from airflow_rest_api.services.database import unit_of_work

        assert rest.put("/backfills/1/cancel").status_code == 200
        with unit_of_work() as session:
            forbidden = update(DagModel).where(DagModel.dag_id == EVERY_THREE_HOURS)
            session.execute(forbidden.values(allowed_run_types=["manual"]))
        expected = {
            kind: shared.REFUSED_DRY[kind]
            for kind in ("invalid-backfill-direction", "invalid-reprocess-behavior", "invalid-backfill-conf")
        }
        for kind, sent in {**expected, "backfill-runs-not-allowed": body(EVERY_THREE_HOURS)}.items():
            assert v2.post("/backfills", json=sent).status_code in (400, 422)
            answer = rest.post("/backfills", json=sent)
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, kind)

    @pytest.mark.parametrize("path", ["/backfills", "/backfills/dry_run"])
    @pytest.mark.parametrize(
        ("dag_id", "first", "last", "kind"),
        [
            (EVERY_THREE_HOURS, "1000-01-01", "9999-12-31", "backfill-too-large"),
            ("partitioned", "0001-01-02", "9999-12-30", "backfill-too-large"),
            ("partitioned", "2026-01-01", "9999-12-31", "backfill-too-large"),
            (DAILY, "0001-01-01", "0001-01-01", None),
        ],
        ids=str,
    )
    def test_a_thousand_years_are_refused_at_once(self, rest, path, dag_id, first, last, kind):
        began = time.monotonic()
        answer = rest.post(path, json=body(dag_id, first, last))
        # One by one they would take minutes.
        assert time.monotonic() - began < 30
        if kind is None:
            assert answer.status_code in (200, 400), answer.text
        else:
            assert answer.status_code in (400, 422), answer.text
            assert answer.json()["type"].rpartition(":")[2] in (kind, "backfill-dates-out-of-range")

    @pytest.mark.parametrize("path", ["/backfills", "/backfills/dry_run"])
    def test_the_edges_of_the_calendar_are_refused(self, rest, path):
        edges = [
            ("malformed", {**body(), "from_date": "0001-01-01T00:00:00+02:00"}),
            ("malformed", {**body(), "to_date": "9999-12-31T23:00:00-02:00"}),
            # In the time zone of its timetable that is a day earlier.
            ("backfill-dates-out-of-range", body("partitioned", "0001-01-01", "0001-01-02")),
        ]
        for kind, sent in edges:
            answer = rest.post(path, json=sent)
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, kind)

    def test_of_two_at_once_one_wins(self, rest):
        def make(number):
            return rest.post("/backfills", json=body(max_active_runs=number + 1))

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(make, range(6)))
        assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
        (won,) = (answer.json() for answer in answers if answer.status_code == 200)
        lost = next(answer.json() for answer in answers if answer.status_code == 409)
        assert lost["backfill_id"] == won["id"]
        assert won["progress"] == {
            "total": 5, "queued": 5, "running": 0, "success": 0, "failed": 0, "skipped": 0, "skipped_reasons": {},
            "deleted": 0, "left": 5, "estimated_end": None,
        }  # fmt: skip

    def test_a_repetition_with_its_key_gets_the_first_answer(self, rest):
        headers = {"Idempotency-Key": "five-days-once"}
        first, again = (rest.post("/backfills", json=body(), headers=headers) for _ in range(2))
        assert (first.status_code, again.json()) == (200, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        assert rest.post("/backfills", json=body(), headers={"Idempotency-Key": "another"}).status_code == 409

    @pytest.mark.in_process
    def test_what_is_interrupted_leaves_nothing(self, rest):
        from airflow.models.backfill import BackfillDagRun

        before, seen = rows(), []

        def fail(_mapper, _connection, _target):
            seen.append(1)
            if len(seen) == 3:
                raise RuntimeError("the power is gone")

        event.listen(BackfillDagRun, "before_insert", fail)
        assert rest.post("/backfills", json=body()).status_code == 500
        event.remove(BackfillDagRun, "before_insert", fail)
        assert rows() == before
        assert made(rest)["progress"]["queued"] == 5

    def test_the_failed_part_is_resumed(self, rest):
        first = made(rest)["id"]
        set_runs(["success", "failed", "success", "failed", "success"])
        rest.put(f"/backfills/{first}/cancel")
        resumed = made(rest, reprocess_behavior="failed")
        assert (resumed["progress"]["queued"], resumed["progress"]["skipped_reasons"]) == (
            2,
            {"already exists": 3},
        )
        states = {date: run["state"] for date, run in runs_of(rest, DAILY).items()}
        assert [date for date, state in states.items() if state == "queued"] == ["2026-02-02", "2026-02-04"]


class TestCreateBackfillOfSomeTasks:
    def test_all_others_are_ended_before_the_runs_can_begin(self, rest):
        answer = made(rest, task_ids=["run_after_loop"])
        assert answer["selection"] == {
            "task_ids": ["run_after_loop"],
            "outcomes": {"queued": 5},
            "warnings": [],
        }
        for run in runs_of(rest, DAILY).values():
            path = f"/dags/{DAILY}/dagRuns/{run['dag_run_id']}"
            found = rest.get(f"{path}/taskInstances").json()["task_instances"]
            states = {entry["task_id"]: entry["state"] for entry in found}
            assert states.pop("run_after_loop") is None
            assert {states.pop(f"runme_{number}") for number in range(3)} == {"success"}
            assert set(states.values()) == {"skipped"}
            assert rest.get(path).json()["selection"]["task_ids"] == ["run_after_loop"]

    def test_the_plan_tells_the_same_and_changes_nothing(self, rest):
        before = rows()
        wish = body(task_ids=["run_after_loop"], include_downstream=True)
        answer = rest.post("/backfills/dry_run", json=wish).json()
        assert rows() == before
        assert answer["total_entries"] == 5
        assert answer["selection"]["task_ids"] == ["run_after_loop", "run_this_last"]
        assert answer["selection"]["marked_success"] == [
            "also_run_this", "runme_0", "runme_1", "runme_2", "this_will_skip",
        ]  # fmt: skip

    def test_outcomes_are_those_of_the_selected_tasks(self, rest):
        from airflow.models.taskinstance import TaskInstance

        from airflow_rest_api.services.database import unit_of_work

        number = made(rest, task_ids=["run_after_loop"])["id"]
        set_runs(["success"] * 5)
        dates = list(runs_of(rest, DAILY).values())
        for run, state in zip(dates, ["failed", *["success"] * 4], strict=True):
            with unit_of_work() as session:
                mine = update(TaskInstance).where(
                    TaskInstance.run_id == run["dag_run_id"], TaskInstance.task_id == "run_after_loop"
                )
                session.execute(mine.values(state=state))
        answer = rest.get(f"/backfills/{number}").json()
        assert answer["progress"]["success"] == 5
        assert answer["selection"]["outcomes"] == {"failed": 1, "success": 4}

    def test_runs_that_are_there_are_not_run_again_in_part(self, rest):
        first = made(rest)["id"]
        set_runs(["failed", "success"])
        rest.put(f"/backfills/{first}/cancel")
        before = rows()
        for path in ("/backfills", "/backfills/dry_run"):
            wish = body(last="2026-02-03", reprocess_behavior="failed", task_ids=["run_after_loop"])
            answer = rest.post(path, json=wish)
            assert answer.status_code == 409
            assert answer.json()["type"].endswith(":runs-would-be-reprocessed")
            assert "'2026-02-01 00:00:00+00:00'" in answer.json()["detail"]
        assert rows() == before
        again = made(rest, last="2026-02-07", task_ids=["run_after_loop"])
        assert (again["progress"]["queued"], again["selection"]["outcomes"]) == (2, {"queued": 2})

    @pytest.mark.parametrize(
        ("wish", "status", "kind"),
        [
            ({"task_ids": ["no_such_task"]}, 404, "task-not-found"),
            ({"task_ids": []}, 422, "selection-empty"),
            (
                {"task_ids": ["run_after_loop"], "exclude_task_ids": ["run_after_loop"]},
                422,
                "selection-empty",
            ),
        ],
        ids=["unknown", "none", "all-excluded"],
    )
    def test_what_cannot_be_selected_is_refused(self, rest, wish, status, kind):
        for path in ("/backfills", "/backfills/dry_run"):
            answer = rest.post(path, json=body(**wish))
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)

    @pytest.mark.in_process
    def test_it_needs_the_right_to_change_tasks(self, rest):
        from unittest import mock

        from airflow_rest_api.security.access import AirflowPermissions

        asked = []

        def may(_self, dag_id, method, access_entity=None):
            asked.append((dag_id, method, access_entity))
            return access_entity != "TASK_INSTANCE"

        with mock.patch.object(AirflowPermissions, "may_dag", may):
            for path in ("/backfills", "/backfills/dry_run"):
                assert rest.post(path, json=body(task_ids=["run_after_loop"])).status_code == 403
        assert (DAILY, "PUT", "TASK_INSTANCE") in asked


class TestCreateBackfillDryRun:
    @pytest.mark.parametrize(
        ("dag_id", "wish"),
        [
            (DAILY, {"first": "2025-12-30", "last": "2026-01-03"}),
            (DAILY, {"run_backwards": True}),
            (DAILY, {"first": "2025-12-30", "last": "2026-01-03", "reprocess_behavior": "completed"}),
            ("partitioned", {}),
        ],
        ids=str,
    )
    def test_it_lists_exactly_the_runs_that_are_made(self, rest, dag_id, wish):
        from airflow.models.backfill import BackfillDagRun
        from airflow.models.dagrun import DagRun

        from airflow_rest_api.services.database import unit_of_work

        plan = rest.post("/backfills/dry_run", json=body(dag_id, **wish)).json()
        number = made(rest, dag_id=dag_id, **wish)["id"]
        with unit_of_work() as session:
            members = (
                select(DagRun.logical_date, DagRun.partition_key)
                .join(BackfillDagRun, BackfillDagRun.dag_run_id == DagRun.id)
                .where(BackfillDagRun.backfill_id == number)
                .order_by(BackfillDagRun.sort_ordinal)
            )
            real = [(date and date.isoformat(), key) for date, key in session.execute(members)]
        planned = [
            (run["logical_date"] and run["logical_date"].replace("Z", "+00:00"), run["partition_key"])
            for run in plan["backfills"]
        ]
        assert planned == real
        assert plan["total_entries"] == len(real) > 0

    @pytest.mark.parametrize("kind", shared.REFUSED_DRY)
    def test_each_refusal_has_a_type_of_its_own(self, rest, kind):
        answer = rest.post("/backfills/dry_run", json=shared.REFUSED_DRY[kind])
        assert answer.json()["type"].rpartition(":")[2] == kind

    def test_it_tells_what_is_left_out_and_what_stands_in_the_way(self, rest):
        wish = body("etl", "2026-01-01", "2026-01-09", reprocess_behavior="failed")
        answer = rest.post("/backfills/dry_run", json=wish).json()
        assert answer["running_backfill_id"] == 1
        assert answer["skipped_reasons"] == {"already exists": 1, "in flight": 1}
        paused = rest.post("/backfills/dry_run", json=body()).json()
        assert "dag_is_paused" in paused["held_back_by"]
        assert paused["running_backfill_id"] is None


class TestGetBackfill:
    def test_progress_and_the_time_of_its_end_are_told(self, rest):
        rest.patch(f"/dags/{DAILY}", json={"is_paused": False})
        number = made(rest, max_active_runs=2)["id"]
        set_runs(["success", "failed"], seconds=100)
        set_runs(["success", "failed", "running"])
        before = datetime.now(timezone.utc)
        progress = rest.get(f"/backfills/{number}").json()["progress"]
        end = datetime.fromisoformat(progress.pop("estimated_end").replace("Z", "+00:00"))
        assert progress == {
            "total": 5, "queued": 2, "running": 1, "success": 1, "failed": 1, "skipped": 0, "skipped_reasons": {},
            "deleted": 0, "left": 3,
        }  # fmt: skip
        # Three are left, which takes two rounds.
        assert timedelta(seconds=199) < end - before < timedelta(seconds=260)
        paused = rest.put(f"/backfills/{number}/pause").json()
        assert paused["progress"]["estimated_end"] is None

    def test_runs_that_were_deleted_are_told(self, rest):
        number = made(rest)["id"]
        run = runs_of(rest, DAILY)["2026-02-03"]
        assert rest.delete(f"/dags/{DAILY}/dagRuns/{run['dag_run_id']}").status_code == 204
        progress = rest.get(f"/backfills/{number}").json()["progress"]
        assert (progress["total"], progress["deleted"], progress["left"]) == (5, 1, 4)

    def test_what_holds_it_back_is_told(self, rest):
        number = made(rest)["id"]
        assert "dag_is_paused" in rest.get(f"/backfills/{number}").json()["held_back_by"]
        rest.put(f"/backfills/{number}/pause")
        held = rest.get(f"/backfills/{number}").json()["held_back_by"]
        assert {"dag_is_paused", "backfill_is_paused"} <= set(held)
        rest.put(f"/backfills/{number}/cancel")
        assert rest.get(f"/backfills/{number}").json()["held_back_by"] == []

    def test_one_of_a_dag_that_cannot_be_read_is_not_found(self, rest):
        # As whoever may read and not change it: the number is no secret to them.
        assert rest.get("/backfills/1", role="nobody").status_code == 404
        assert rest.get("/backfills/4711", role="nobody").status_code == 404
        assert rest.put("/backfills/1/pause", role="nobody").status_code == 404
        assert rest.put("/backfills/1/pause", role="viewer").status_code == 403
        assert rest.put("/backfills/4711/pause", role="viewer").status_code == 404


class TestPauseBackfill:
    def test_it_changes_the_row_as_airflow_does(self, rest, v2):
        number = made(rest)["id"]
        for action in ("pause", "unpause"):
            for _ in range(2):
                ours = rest.put(f"/backfills/{number}/{action}")
                theirs = v2.put(f"/backfills/{number}/{action}")
                assert shared.normalise(ours.json()) == shared.normalise(theirs.json())
                assert ours.json()["updated_at"] == theirs.json()["updated_at"]
            assert ours.json()["is_paused"] == (action == "pause")


class TestUnpauseBackfill:
    def test_one_that_is_completed_is_refused_as_by_airflow(self, rest, parity):
        number = made(rest)["id"]
        assert rest.put(f"/backfills/{number}/cancel").status_code == 200
        for action in ("pause", "unpause", "cancel"):
            ours, _ = parity("PUT", f"/backfills/{number}/{action}")
            assert (ours.status_code, ours.json()["type"].rpartition(":")[2]) == (
                409,
                "backfill-is-completed",
            )


class TestCancelBackfill:
    @pytest.mark.in_process
    def test_it_leaves_behind_what_airflow_does(self, rest, v2, home):
        left = []
        for client in (v2, rest):
            number = v2.post("/backfills", json=body()).json()["id"]
            set_runs(["success", "failed", "running"])
            answer = client.put(f"/backfills/{number}/cancel")
            assert answer.status_code == 200, answer.text
            told = {name: value for name, value in answer.json().items() if not name.endswith("_at")}
            left.append((shared.normalise(told), rows()))
            template.restore(home)
        assert left[0] == left[1]

    def test_queued_runs_fail_and_running_ones_go_on(self, rest):
        number = made(rest)["id"]
        set_runs(["success", "running"])
        answer = rest.put(f"/backfills/{number}/cancel").json()
        assert answer["is_paused"] is True
        assert answer["completed_at"] is not None
        states = [run["state"] for run in runs_of(rest, DAILY).values()]
        assert states == ["success", "running", "failed", "failed", "failed"]
