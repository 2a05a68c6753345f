"""Operations: work that outlives its request, from its beginning to its end, whatever that is."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from airflow_rest_api.services import background, errors, report
from airflow_rest_api.services.background import Background, Kind
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.storage.tables import operation as table
from tests.support import work

pytestmark = pytest.mark.in_process


@pytest.fixture
def caller(rest, restored_database):
    return work.admin()


@pytest.fixture
def carrier(rest):
    """`carrier(function, safe=True)`: carries out operations of the kind `count_up` by this function."""
    made = []

    def make(function=work.count_up, *, safe=True):
        made.append(Background({work.KIND: Kind(function, safe)}))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def ended(rest, operation_id, seconds=20):
    answer = rest.get(f"/operations/{operation_id}", params={"wait": seconds})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestGetOperation:
    def test_the_whole_answer(self, rest, carrier, caller):
        found = ended(rest, work.begin(carrier(), caller, to=2))
        assert found == {
            "operation_id": found["operation_id"],
            "operation": "count_up",
            "state": "succeeded",
            "requested_by": "admin",
            "created_at": found["created_at"],
            "started_at": found["started_at"],
            "ended_at": found["ended_at"],
            "cancel_requested": False,
            "progress": {"done": 2, "total": 2},
            "items": [{"number": 0}, {"number": 1}],
            "result": {"last": 1},
            "error": None,
            "log": "counted 0\ncounted 1\n",
            "expires_at": found["expires_at"],
        }
        assert found["created_at"] <= found["started_at"] <= found["ended_at"] < found["expires_at"]

    def test_it_is_followed_while_it_goes_on(self, rest, carrier, caller):
        going_on = threading.Event()

        def half(request, report):
            report.expect(2)
            report.item(number=0)
            assert going_on.wait(20)
            report.item(number=1)

        operation_id = work.begin(carrier(half), caller)
        deadline = time.monotonic() + 10
        while rest.get(f"/operations/{operation_id}").json()["progress"]["done"] < 1:
            assert time.monotonic() < deadline
        now = ended(rest, operation_id, 1)
        assert (now["state"], now["progress"], now["ended_at"]) == ("running", {"done": 1, "total": 2}, None)
        going_on.set()
        assert ended(rest, operation_id)["state"] == "succeeded"

    def test_what_it_did_may_have_failed(self, rest, carrier, caller):
        found = ended(rest, work.begin(carrier(lambda *_: {"failed": True, "left": 1}), caller))
        assert (found["state"], found["result"], found["error"]) == (
            "failed",
            {"failed": True, "left": 1},
            None,
        )

    def test_a_refusal_says_why(self, rest, carrier, caller):
        def refuse(*_):
            raise errors.DagNotFound("etl")

        found = ended(rest, work.begin(carrier(refuse), caller))
        assert (found["state"], found["error"]) == ("failed", "The DAG 'etl' was not found.")
        assert found["result"] == {"dag_id": "etl"}

    def test_many_items_are_told_at_once(self, rest, carrier, caller):
        def tell(_, report):
            report.item(number=0)
            report.items([{"number": 1}, {"number": 2}])

        found = ended(rest, work.begin(carrier(tell), caller))
        assert [entry["number"] for entry in found["items"]] == [0, 1, 2]
        assert found["progress"]["done"] == 3

    def test_what_was_said_of_items_can_be_said_anew(self, rest, carrier, caller):
        def tell(_, report):
            report.expect(2)
            report.show([{"state": "requested"}, {"state": "requested"}], 0)
            report.show([{"state": "gone"}, {"state": "requested"}], 1)

        found = ended(rest, work.begin(carrier(tell), caller))
        assert [entry["state"] for entry in found["items"]] == ["gone", "requested"]
        assert found["progress"] == {"done": 1, "total": 2}

    def test_work_that_rests_holds_no_thread(self, rest, carrier, caller):
        awake = threading.Event()

        def rest_until_awake(_, report):
            while not awake.is_set():
                report.check()
                yield 0.05
            return {"rested": True}

        def choose(request, report):
            return rest_until_awake(request, report) if request["rests"] else awake.set()

        carrier = carrier(choose)
        resting = [work.begin(carrier, caller, rests=True) for _ in range(3 * background.THREADS)]
        ended(rest, work.begin(carrier, caller, rests=False))
        assert [ended(rest, one)["result"] for one in resting] == [{"rested": True}] * len(resting)

    @pytest.mark.parametrize(
        "fault", [RuntimeError("secret"), errors.DagNotFound("etl")], ids=["bug", "refusal"]
    )
    def test_work_may_fail_after_a_rest(self, rest, carrier, caller, fault):
        def fail(*_):
            yield 0.01
            raise fault

        assert ended(rest, work.begin(carrier(fail), caller))["state"] == "failed"

    def test_a_fault_says_nothing_of_itself(self, rest, caller):
        def fail(*_):
            raise RuntimeError("secret")

        faults = []
        carrier = Background({work.KIND: Kind(fail, False)}, lambda: faults.append(1))
        found = ended(rest, work.begin(carrier, caller))
        carrier.stop()
        assert found["state"] == "failed"
        assert "secret" not in str(found)
        assert faults == [1]

    def test_the_end_of_a_long_log_is_kept(self, rest, carrier, caller):
        def chatter(_, report):
            for number in range(40):
                report.line(f"{number} {'x' * 1000}")

        log = ended(rest, work.begin(carrier(chatter), caller))["log"]
        assert len(log) == report.LOG_CHARACTERS
        assert "\n39 " in log

    @pytest.mark.parametrize("role", ["op", "viewer", "nobody"])
    def test_it_is_seen_by_whoever_began_it_alone(self, rest, carrier, caller, role):
        operation_id = work.begin(carrier(), caller, to=1)
        for method, path in (("GET", operation_id), ("POST", f"{operation_id}/cancel")):
            answer = rest.request(method, f"/operations/{path}", role=role)
            assert answer.status_code == 404
            assert answer.json()["detail"] == f"The operation '{operation_id}' was not found."

    def test_an_unknown_one_is_not_found(self, rest):
        assert rest.get(f"/operations/{uuid4()}").status_code == 404
        assert rest.get(f"/operations/{uuid4()}", params={"wait": 1}).status_code == 404

    @pytest.mark.parametrize("operation_id", ["x", "X" * 36, "1" * 37])
    def test_an_id_is_an_id(self, rest, operation_id):
        assert rest.get(f"/operations/{operation_id}").status_code == 400


class TestCancelOperation:
    def test_it_stops_after_what_it_is_at(self, rest, carrier, caller):
        operation_id = work.begin(carrier(), caller, to=1000, seconds=0.05)
        answer = rest.post(f"/operations/{operation_id}/cancel")
        assert (answer.status_code, answer.json()["cancel_requested"]) == (200, True)
        found = ended(rest, operation_id)
        assert found["state"] == "cancelled"
        assert found["progress"]["done"] == len(found["items"]) < 1000

    def test_one_that_waits_for_a_thread_is_never_begun(self, rest, carrier, caller):
        done = []
        carrier = carrier(lambda *_: done.append(1))
        operation_id = background.write(lambda session: carrier.begin(session, work.KIND, {}, caller))
        rest.post(f"/operations/{operation_id}/cancel")
        carrier.run(operation_id)
        found = ended(rest, operation_id)
        assert (found["state"], found["started_at"], done) == ("cancelled", None, [])

    def test_work_can_ask_between_its_items(self, rest, carrier, caller):
        def wait(_, report):
            while True:
                report.check()
                time.sleep(0.05)

        operation_id = work.begin(carrier(wait), caller)
        rest.post(f"/operations/{operation_id}/cancel")
        assert ended(rest, operation_id)["state"] == "cancelled"

    def test_work_that_rests_stops_too(self, rest, carrier, caller):
        def wait(_, report):
            while True:
                report.check()
                yield 0.05

        operation_id = work.begin(carrier(wait), caller)
        rest.post(f"/operations/{operation_id}/cancel")
        assert ended(rest, operation_id)["state"] == "cancelled"

    def test_what_has_ended_cannot_be_cancelled(self, rest, carrier, caller):
        operation_id = work.begin(carrier(), caller, to=1)
        ended(rest, operation_id)
        answer = rest.post(f"/operations/{operation_id}/cancel")
        assert answer.status_code == 409
        assert answer.json()["state"] == "succeeded"


class TestGetOperations:
    def test_they_are_the_callers_without_their_items(self, rest, carrier, caller):
        carrier = carrier()
        ids = [work.begin(carrier, caller, to=1) for _ in range(3)]
        for operation_id in ids:
            ended(rest, operation_id)
        page = rest.get("/operations").json()
        assert page["total_entries"] == 3
        assert [entry["operation_id"] for entry in page["operations"]] == ids[::-1]
        assert {(str(entry["items"]), entry["log"]) for entry in page["operations"]} == {("[]", "")}
        assert rest.get("/operations", role="op").json() == {"operations": [], "total_entries": 0}

    def test_they_can_be_filtered_ordered_and_paged(self, rest, carrier, caller):
        carrier = carrier()
        first, second = (work.begin(carrier, caller, to=1) for _ in range(2))
        ended(rest, first), ended(rest, second)

        def ids(**params):
            return [
                entry["operation_id"] for entry in rest.get("/operations", params=params).json()["operations"]
            ]

        assert ids(state="running") == ids(operation="other") == ids(state=["lost", "queued"]) == []
        assert ids(state=["succeeded", "failed"], operation="count_up", order_by="created_at") == [
            first,
            second,
        ]
        assert ids(limit=1) == [second]
        assert ids(limit=1, offset=1) == [first]
        for order in ("operation", "-started_at", "ended_at", "operation_id"):
            assert len(ids(order_by=order)) == 2

    @pytest.mark.parametrize("params", [{"order_by": "log"}, {"state": "dead"}, {"limit": -1}])
    def test_what_means_nothing_is_refused(self, rest, params):
        assert rest.get("/operations", params=params).status_code == 400


def at_work(rest, operation_id):
    deadline = time.monotonic() + 20
    while rest.get(f"/operations/{operation_id}").json()["progress"]["done"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
class TestWorkThatNobodyCarriesOn:
    LEASE = 3.0

    def test_it_is_lost_when_its_process_is_killed(self, rest, caller):
        with work.process(self.LEASE, "once") as (worker, operation_id):
            at_work(rest, operation_id)
            time.sleep(self.LEASE + 1)
            assert rest.get(f"/operations/{operation_id}").json()["state"] == "running"
            worker.kill()
            begin = time.monotonic()
            found = ended(rest, operation_id)
        assert found["state"] == "lost"
        assert "has not been heard of" in found["error"]
        assert found["progress"]["done"] == len(found["items"]) >= 2
        assert time.monotonic() - begin < self.LEASE + 3

    def test_it_is_called_lost_for_good(self, rest, caller, carrier):
        with work.process(self.LEASE, "once") as (worker, operation_id):
            at_work(rest, operation_id)
            worker.kill()
            assert ended(rest, operation_id)["state"] == "lost"
        carrier().look_after()
        found = rest.get(f"/operations/{operation_id}").json()
        assert (found["state"], found["ended_at"] is None) == ("lost", False)
        assert rest.post(f"/operations/{operation_id}/cancel").status_code == 409
        assert rest.get("/operations", params={"state": "lost"}).json()["total_entries"] == 1

    def test_what_is_safe_is_taken_over(self, rest, caller, carrier):
        with work.process(self.LEASE, "safe") as (worker, operation_id):
            at_work(rest, operation_id)
            worker.kill()
        time.sleep(self.LEASE + 0.5)
        with unit_of_work() as session:
            session.execute(update(table).values(request={"to": 2}))
        carrier().look_after()
        found = ended(rest, operation_id)
        assert (found["state"], found["items"]) == ("succeeded", [{"number": 0}, {"number": 1}])

    def test_what_nobody_here_knows_is_left_to_others(self, rest, caller, carrier):
        knows, knows_not = carrier(), Background({"another": Kind(work.count_up, True)})
        operation_id = background.write(lambda session: knows.begin(session, work.KIND, {"to": 1}, caller))
        with unit_of_work() as session:
            session.execute(update(table).values(leased_until=background._now() - timedelta(seconds=1)))
        knows_not.look_after()
        assert rest.get(f"/operations/{operation_id}").json()["state"] == "queued"
        carrier().look_after()
        assert ended(rest, operation_id)["state"] == "succeeded"

    def test_of_two_who_take_over_one_does(self, rest, caller, carrier):
        operation_id = background.write(
            lambda session: carrier().begin(session, work.KIND, {"to": 1}, caller)
        )
        with unit_of_work() as session:
            session.execute(update(table).values(leased_until=background._now() - timedelta(seconds=1)))
            former = session.scalar(select(table.c.worker))
        assert [carrier()._take_over(operation_id, former, work.KIND) for _ in range(2)] == [True, False]

    def test_who_was_taken_for_dead_stops_when_it_comes_back(self, rest, caller, carrier):
        told = []

        def slow(_, telling):
            with unit_of_work() as session:
                session.execute(update(table).values(worker="another"))
            try:
                telling.item(number=0)
            except report.Stopped:
                told.append("stopped")
                raise

        work.begin(carrier(slow), caller)
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        with unit_of_work() as session:
            assert (told, session.scalar(select(table.c.state))) == (["stopped"], "running")

    def test_the_real_lease_leaves_room_within_a_minute(self):
        assert background.LEASE.total_seconds() + background.RENEW_SECONDS <= 60
        assert background.LEASE.total_seconds() >= 3 * background.RENEW_SECONDS


class TestKeeping:
    def test_the_lease_of_what_goes_on_is_renewed(self, rest, caller, carrier):
        carrier = carrier()
        background.write(lambda session: carrier.begin(session, work.KIND, {"to": 1}, caller))
        with unit_of_work() as session:
            session.execute(update(table).values(leased_until=background._now() - timedelta(seconds=1)))
        carrier.look_after()
        with unit_of_work() as session:
            assert session.scalar(select(table.c.leased_until)) > background._now()

    def test_it_goes_on_after_a_fault(self, rest, monkeypatch):
        faults, looks = [], []
        carrier = Background({}, lambda: faults.append(1))

        def look():
            looks.append(1)
            if len(looks) == 1:
                raise errors.DatabaseUnavailable
            carrier.stop()

        monkeypatch.setattr(background, "RENEW_SECONDS", 0.02)
        monkeypatch.setattr(carrier, "look_after", look)
        carrier.keep()
        carrier.keep()
        carrier._keeper.join(10)
        assert (faults, looks) == ([1], [1, 1])

    def test_what_has_expired_is_forgotten(self, rest, caller, carrier):
        carrier = carrier()
        ended(rest, work.begin(carrier, caller, to=1))
        with unit_of_work() as session:
            session.execute(update(table).values(expires_at=background._now() - timedelta(seconds=1)))
        carrier.look_after()
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 0

    def test_how_long_it_is_kept_can_be_set(self, rest, caller):
        carrier = Background({work.KIND: Kind(work.count_up, True)}, kept=timedelta(days=2))
        found = ended(rest, work.begin(carrier, caller, to=1))
        carrier.stop()
        begun, expires = (datetime.fromisoformat(found[name]) for name in ("created_at", "expires_at"))
        assert expires - begun == timedelta(days=2)

    def test_a_fault_of_the_bookkeeping_is_told(self, rest, caller, monkeypatch):
        faults = threading.Event()
        carrier = Background({work.KIND: Kind(work.count_up, True)}, faults.set)
        monkeypatch.setattr(carrier, "_start", lambda _: 1 / 0)
        work.begin(carrier, caller, to=1)
        carrier.stop()
        assert faults.wait(10)


@pytest.mark.postgres
class TestOnPostgresql:
    def test_an_operation_goes_its_way(self, rest, carrier):
        found = ended(rest, work.begin(carrier(), work.admin(), to=3))
        assert (found["state"], found["progress"]) == ("succeeded", {"done": 3, "total": 3})
        assert rest.get("/operations", params={"state": "succeeded"}).json()["total_entries"] >= 1
