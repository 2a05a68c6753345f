"""Pool: `openapi/paths/pool.yaml` against Airflow's `/api/v2`, and what we have beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.models.team import Team
from airflow.utils.session import create_session
from sqlalchemy import event, select, update

from tests.support import bulk
from tests.support.shared_calls import assert_alike
from tests.support.shared_calls_of import pool as shared

FREE = dict.fromkeys(
    ("occupied_slots", "running_slots", "queued_slots", "scheduled_slots", "deferred_slots"), 0
)


def made(name="wide", **fields):
    """A pool in the database."""
    with create_session(scoped=False) as session:
        values = {"slots": 5, "description": "Seen.", "include_deferred": False, **fields}
        session.add(Pool(pool=name, **values))
    return f"/pools/{name}"


def only(allowed):
    """A stand-in for `may_named` that allows one method."""
    return lambda self, resource, name, method, team=None: method == allowed


def names():
    with create_session(scoped=False) as session:
        return sorted(session.scalars(select(Pool.pool)))


def occupy(run, name, **states):
    """Put task instances of a run into a pool: `first=("running", 3)` takes three slots."""
    with create_session(scoped=False) as session:
        for task_id, (state, slots) in states.items():
            instance = update(TaskInstance).where(
                TaskInstance.dag_id == run.dag_id,
                TaskInstance.run_id == run.dag_run_id,
                TaskInstance.task_id == task_id,
            )
            session.execute(instance.values(pool=name, state=state, pool_slots=slots))


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements about pools and task instances that are sent meanwhile."""
    from airflow import settings

    sent: list[str] = []

    def note(connection, cursor, statement, *_):
        if "slot_pool" in statement or "task_instance" in statement:
            sent.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    yield sent
    event.remove(settings.engine, "before_cursor_execute", note)


@pytest.mark.slow
@pytest.mark.usefixtures("restored_database")
class TestSharedCalls:
    def test_every_answer_and_every_refusal_is_airflows(self, rest, v2):
        assert_alike(shared.CALLS, rest, v2, normalise=bulk.told)

    @pytest.mark.in_process
    def test_teams_are_airflows(self, rest, v2, monkeypatch):
        with create_session(scoped=False) as session:
            session.add_all([Team(name="blue"), Team(name="red")])
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        assert_alike(shared.OF_TEAMS, rest, v2, normalise=bulk.told)


@pytest.mark.usefixtures("restored_database")
class TestGetPools:
    @pytest.mark.in_process
    def test_the_slots_of_a_page_take_one_statement(self, rest):
        for number in range(20):
            made(f"one_{number}")
        with statements() as sent:
            answer = rest.get("/pools", params={"limit": 100}).json()
        assert answer["total_entries"] == len(answer["pools"]) >= 20
        assert len([one for one in sent if "task_instance" in one]) == 1
        assert len(sent) <= 3

    @pytest.mark.in_process
    def test_only_those_are_listed_that_the_caller_may_read(self, rest, monkeypatch):
        from airflow_rest_api.security import access
        from airflow_rest_api.services.caller import NamedScope

        scope = NamedScope(frozenset({"narrow", "gone"}), everything=False)
        monkeypatch.setattr(access.AirflowPermissions, "named_scope", lambda *_: scope)
        answer = rest.get("/pools", params={"limit": 1}).json()
        assert [pool["name"] for pool in answer["pools"]] == ["narrow"]
        assert answer["total_entries"] == 1


@pytest.mark.usefixtures("restored_database")
class TestGetPool:
    @pytest.mark.parametrize("include_deferred", [False, True])
    @pytest.mark.parametrize("slots", [4, 100, -1, 0])
    def test_the_slots_are_counted_as_airflow_counts_them(self, parity, new_run, slots, include_deferred):
        path = made(slots=slots, include_deferred=include_deferred)
        run = new_run("etl", state="running")
        with create_session(scoped=False) as session:
            tasks = session.scalars(
                select(TaskInstance.task_id).where(
                    TaskInstance.run_id == run.dag_run_id, TaskInstance.map_index == -1
                )
            ).all()
        states = ["running", "queued", "scheduled", "deferred", "up_for_retry", "success", None]
        places = enumerate(zip(tasks, states, strict=False))
        occupy(run, "wide", **{task: (state, 2 + number) for number, (task, state) in places})
        ours, theirs = parity("GET", path)
        assert list(ours.json()) == list(theirs.json())
        told = ours.json()
        assert told["running_slots"] == 2
        assert told["occupied_slots"] == 5 + (5 if include_deferred and len(tasks) > 3 else 0)
        assert told["open_slots"] == (-1 if slots == -1 else slots - told["occupied_slots"])
        parity("GET", "/pools", params={"order_by": "-id"})

    def test_the_tag_changes_with_the_slots_and_its_state_only_with_what_callers_change(self, rest, new_run):
        path = made()
        before = rest.get(path)
        assert rest.get(path, headers={"If-None-Match": before.headers["ETag"]}).status_code == 304
        occupy(new_run(state="running"), "wide", first=("running", 1))
        occupied = rest.get(path)
        assert occupied.json()["occupied_slots"] == 1
        assert occupied.headers["ETag"] != before.headers["ETag"]
        assert state_of(occupied) == state_of(before)
        rest.put(path, json={"slots": 6, "description": "Seen."})
        assert state_of(rest.get(path)) != state_of(before)


def state_of(answer):
    return answer.headers["ETag"].partition("-")[0]


@pytest.mark.usefixtures("restored_database")
class TestPostPool:
    def test_it_tells_where_the_pool_is_and_is_made_once_for_a_key(self, rest):
        headers = {"Idempotency-Key": "one-pool"}
        body = {"name": "a/b c", "slots": 3}
        first, second = (rest.post("/pools", json=body, headers=headers) for _ in range(2))
        assert first.status_code == second.status_code == 201
        assert first.headers["Location"].endswith("/pools/a%2Fb%20c")
        assert second.headers["Idempotency-Replayed"] == "true"
        place = first.headers["Location"].removeprefix("/rest_api/v1")
        assert rest.get(place).json() == first.json() == second.json()
        assert first.json() == {
            "name": "a/b c",
            "slots": 3,
            "description": None,
            "include_deferred": False,
            **FREE,
            "open_slots": 3,
            "team_name": None,
        }

    def test_what_exists_is_told_with_the_way_out(self, rest):
        answer = rest.post("/pools", json={"name": "narrow", "slots": 3})
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(":pool-exists")
        assert "'narrow'" in answer.json()["detail"]

    def test_a_pool_without_a_name_is_refused(self, rest):
        # Airflow makes it, and has no address for it.
        assert rest.post("/pools", json={"name": "", "slots": 1}).status_code == 400

    @pytest.mark.in_process
    def test_a_team_has_to_exist(self, rest, monkeypatch):
        body = {"name": "red pool", "slots": 1, "team_name": "red"}
        assert rest.post("/pools", json=body).json()["type"].endswith(":teams-are-off")
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        assert rest.post("/pools", json=body).json()["type"].endswith(":unknown-team")
        assert rest.put("/pools/red", json={"slots": 1, "team_name": "red"}).status_code == 400
        many = {"actions": [{"action": "create", "entities": [body]}]}
        assert bulk.statuses(rest.patch("/pools", json=many).json())["create"] == ([], [400])
        with create_session(scoped=False) as session:
            session.add(Team(name="red"))
        assert rest.post("/pools", json=body).json()["team_name"] == "red"


@pytest.mark.usefixtures("restored_database")
class TestPatchPool:
    def test_it_is_bound_to_the_state_that_the_caller_has_seen(self, rest):
        path = made()
        whole = {"pool": "wide", "slots": 6, "include_deferred": False}
        tag = rest.get(path).headers["ETag"]
        first = rest.patch(path, json=whole, headers={"If-Match": tag})
        assert (first.status_code, first.json()["slots"]) == (200, 6)
        second = rest.patch(path, json={**whole, "slots": 7}, headers={"If-Match": tag})
        assert second.status_code == 412
        assert rest.get(path).json()["slots"] == 6
        third = rest.patch(path, json={**whole, "slots": 8}, headers={"If-Match": first.headers["ETag"]})
        assert third.json()["slots"] == 8
        assert rest.patch(path, json=whole, headers={"If-Match": "*"}).status_code == 200

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"slots": 3}, "pool-incomplete"),
            ({"pool": "other", "slots": 3, "include_deferred": False}, "name-differs"),
            ({"name": "other", "pool": "wide", "slots": 3, "include_deferred": False}, "name-differs"),
            # Airflow renames it to nothing.
            ({"pool": "", "slots": 3, "include_deferred": False}, "name-differs"),
        ],
        ids=["part", "other", "both", "empty"],
    )
    def test_what_is_refused_has_a_type_of_its_own(self, rest, body, kind):
        path = made()
        answer = rest.patch(path, json=body)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, kind)
        assert rest.get(path).json()["slots"] == 5

    def test_the_default_pool_takes_no_null(self, rest):
        # Airflow stores it, or fails.
        params = {"update_mask": "slots"}
        answer = rest.patch("/pools/default_pool", json={"slots": None}, params=params)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "pool-incomplete")


@pytest.mark.usefixtures("restored_database")
class TestPutPool:
    def test_it_creates_and_replaces_with_all_that_the_body_says(self, rest):
        body = {"slots": -1, "description": "New.", "include_deferred": True}
        first = rest.put("/pools/new/one", json=body)
        assert first.status_code == 200
        assert first.json() == {"name": "new/one", **body, **FREE, "open_slots": -1, "team_name": None}
        again = rest.put("/pools/new/one", json={**body, "name": "new/one"})
        assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
        less = rest.put("/pools/new/one", json={"slots": 2}).json()
        assert (less["slots"], less["description"], less["include_deferred"]) == (2, None, False)
        assert rest.get("/pools/new/one").json() == less

    def test_it_is_bound_to_the_state_that_the_caller_has_seen(self, rest):
        path = made()
        tag = rest.get(path).headers["ETag"]
        assert rest.put(path, json={"slots": 6}, headers={"If-Match": tag}).status_code == 200
        assert rest.put(path, json={"slots": 7}, headers={"If-Match": tag}).status_code == 412
        for condition in (tag, "*"):
            missing = rest.put("/pools/none", json={"slots": 7}, headers={"If-Match": condition})
            assert (missing.status_code, missing.json()["type"].rpartition(":")[2]) == (
                412,
                "nothing-to-replace",
            )
        assert "none" not in names()

    @pytest.mark.parametrize("name", ["created", "default_pool"])
    def test_what_was_read_can_be_edited_and_sent_back(self, rest, name):
        path = made() if name == "created" else f"/pools/{name}"
        read = rest.get(path)
        same = rest.put(path, json=read.json(), headers={"If-Match": read.headers["ETag"]})
        assert (same.status_code, same.json()) == (200, read.json())
        edited = rest.put(path, json={**read.json(), "slots": 99, "open_slots": 1, "running_slots": 1})
        left = 99 - read.json()["occupied_slots"]
        assert edited.json() == {**read.json(), "slots": 99, "open_slots": left}
        assert rest.put(path, json={**read.json(), "free_slots": 1}).status_code == 400

    def test_of_the_default_pool_only_the_slots_are_replaced(self, rest):
        before = rest.get("/pools/default_pool").json()
        assert before["description"]
        answer = rest.put("/pools/default_pool", json={"slots": 7, "include_deferred": True}).json()
        told = (answer["slots"], answer["include_deferred"], answer["description"])
        assert told == (7, True, before["description"])
        same = {"slots": 8, "description": before["description"]}
        assert rest.put("/pools/default_pool", json=same).json()["slots"] == 8
        refused = rest.put("/pools/default_pool", json={"slots": 9, "description": "Ours."})
        assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (400, "default-pool-fixed")
        assert rest.get("/pools/default_pool").json()["slots"] == 8

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"slots": None},
            {"slots": -2},
            {"slots": 2**31},
            {"slots": 1, "pool": "p"},
            {"slots": 1, "name": "q"},
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, rest, body):
        assert rest.put("/pools/p", json=body).status_code == 400
        assert "p" not in names()

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 403), ("op", 200)]
    )
    def test_who_may(self, rest, role, status):
        assert rest.put("/pools/put", json={"slots": 1}, role=role).status_code == status

    @pytest.mark.in_process
    def test_who_may_only_change_creates_nothing_and_the_other_way_round(self, rest, monkeypatch):
        from airflow_rest_api.security import access

        for path, method in (("/pools/fresh", "PUT"), ("/pools/narrow", "POST")):
            monkeypatch.setattr(access.AirflowPermissions, "may_named", only(method))
            assert rest.put(path, json={"slots": 1}).status_code == 403
        assert "fresh" not in names()
        monkeypatch.setattr(access.AirflowPermissions, "may_named", only("PUT"))
        assert rest.put("/pools/narrow", json={"slots": 1}).status_code == 200

    @pytest.mark.postgres
    @pytest.mark.in_process
    def test_those_who_create_it_at_once_all_succeed(self, rest):
        def put(number):
            return rest.put(f"/pools/raced_{number // 8}", json={"slots": number}).status_code

        with ThreadPoolExecutor(8) as many:
            assert set(many.map(put, range(40))) == {200}
        answer = rest.get("/pools", params={"pool_name_pattern": "raced", "order_by": "-name"}).json()
        assert [pool["name"] for pool in answer["pools"]] == [f"raced_{number}" for number in (4, 3, 2, 1, 0)]
        assert rest.get("/pools/default_pool").json()["running_slots"] > 0


@pytest.mark.usefixtures("restored_database")
class TestDeletePool:
    def test_it_is_bound_to_the_state_that_the_caller_has_seen(self, rest):
        path = made()
        tag = rest.get(path).headers["ETag"]
        rest.put(path, json={"slots": 6})
        assert rest.delete(path, headers={"If-Match": tag}).status_code == 412
        assert rest.delete(path, headers={"If-Match": rest.get(path).headers["ETag"]}).status_code == 204
        assert rest.delete(path, headers={"If-Match": "*"}).status_code == 404

    def test_a_pool_in_use_is_deleted_as_airflow_does(self, rest, v2, new_run):
        for name, client in (("wide", rest), ("twin", v2)):
            path = made(name)
            occupy(new_run(state="running"), name, first=("running", 1))
            assert client.delete(path).status_code == 204
        assert {"wide", "twin"}.isdisjoint(names())

    def test_the_default_pool_stays(self, rest):
        answer = rest.delete("/pools/default_pool", headers={"If-Match": "*"})
        assert answer.status_code == 400
        assert answer.json()["type"].endswith(":default-pool-not-deletable")


@pytest.mark.usefixtures("restored_database")
class TestBulkPools:
    def test_the_default_pool_is_not_deleted_and_the_others_are(self, rest):
        # Airflow deletes it.
        made()
        answer = rest.patch("/pools", json=bulk.delete("default_pool", "wide", "narrow")).json()
        assert bulk.statuses(answer)["delete"] == (["wide", "narrow"], [400])
        assert names() == ["default_pool"]

    def test_an_empty_name_is_an_error_of_its_own(self, rest):
        # Airflow creates it.
        answer = rest.patch("/pools", json=bulk.create({"name": "", "slots": 1}, {"name": "one", "slots": 1}))
        assert bulk.statuses(answer.json())["create"] == (["one"], [400])
        assert "" not in names()

    def test_the_default_pool_is_not_overwritten_beyond_its_slots(self, rest):
        # Airflow overwrites all of it.
        def overwrite(**fields):
            entity = {"name": "default_pool", "slots": 9, **fields}
            action = {"action": "create", "action_on_existence": "overwrite", "entities": [entity]}
            return bulk.statuses(rest.patch("/pools", json={"actions": [action]}).json())["create"]

        assert overwrite(description="Ours.") == ([], [400])
        assert rest.get("/pools/default_pool").json()["slots"] != 9
        assert overwrite(include_deferred=True) == (["default_pool"], [])
        assert rest.get("/pools/default_pool").json()["slots"] == 9

    def test_what_was_deleted_can_be_made_again_and_not_be_changed(self, rest):
        # Airflow still finds it, tells a success of the update and a conflict of the creation.
        made()
        entity = {"name": "wide", "slots": 1, "include_deferred": False}
        gone, change = bulk.delete("wide")["actions"], bulk.update(entity)["actions"]
        answer = rest.patch("/pools", json={"actions": gone + change}).json()
        assert bulk.statuses(answer) == {"create": None, "update": ([], [404]), "delete": (["wide"], [])}
        made()
        creation = [{"action": "create", "entities": [entity]}]
        answer = rest.patch("/pools", json={"actions": gone + creation}).json()
        assert bulk.statuses(answer)["create"] == (["wide"], [])
        assert rest.get("/pools/wide").json()["description"] is None

    def test_objects_are_deleted_by_their_names(self, rest):
        # Airflow fails on them.
        made()
        answer = rest.patch("/pools", json=bulk.delete({"name": "wide", "slots": 1})).json()
        assert answer["delete"]["success"] == ["wide"]

    @pytest.mark.in_process
    def test_who_may_not_do_one_of_the_actions_does_none(self, rest, monkeypatch):
        from airflow_rest_api.security import access

        monkeypatch.setattr(
            access.AirflowPermissions, "may_named", lambda self, r, name, method, t=None: name != "narrow"
        )
        entity = {"name": "fresh", "slots": 1}
        actions = [{"action": "create", "entities": [entity]}, {"action": "delete", "entities": ["narrow"]}]
        assert rest.patch("/pools", json={"actions": actions}).status_code == 403
        assert "fresh" not in names()
