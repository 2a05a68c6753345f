"""Variables: `openapi/paths/variable.yaml` against Airflow's `/api/v2`, and what that has not."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from airflow.models.team import Team
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import select

from tests.support.bulk import create, delete, statuses, told, update
from tests.support.shared_calls import assert_alike
from tests.support.shared_calls_of.variable import CALLS, OF_TEAMS

pytestmark = pytest.mark.usefixtures("restored_afterwards")

# Not one of the session's own secrets, which nobody may see.
SECRET = {"password": "horse-battery-staple", "user": "ada", "deep": [{"token": "stapled-battery"}]}
SHOWN = {"password": "***", "user": "ada", "deep": [{"token": "***"}]}


@pytest.fixture
def key():
    return f"kept_{uuid4().hex[:8]}"


@pytest.fixture
def teams(monkeypatch, restored_database):
    """The teams `blue` and `red`, in an Airflow with teams."""
    with create_session(scoped=False) as session:
        session.add_all([Team(name="blue"), Team(name="red")])
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")


@pytest.fixture
def there(rest, key):
    """`there(value)`: a variable of the test's own, with this value."""

    def make(value="1", **fields):
        body = {"key": key, "value": value, **fields}
        assert rest.post("/variables", json=body).status_code == 201
        return f"/variables/{key}"

    return make


def stored(key):
    """The row of a variable, as the database has it; None where there is none."""
    with create_session(scoped=False) as session:
        return session.scalar(select(Variable).where(Variable.key == key))


def value_of(key):
    return stored(key).get_val()


class TestGetVariables:
    @pytest.mark.slow
    def test_everything_is_answered_as_by_airflow(self, rest, v2, restored_database):
        assert_alike(CALLS, rest, v2, normalise=told)

    @pytest.mark.in_process
    def test_teams_are_those_of_airflow(self, rest, v2, teams):
        assert_alike(OF_TEAMS, rest, v2, normalise=told)

    @pytest.mark.in_process
    def test_what_is_not_in_the_database_is_in_no_list(self, rest, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_ONLY_HERE", "somewhere")
        page = rest.get("/variables", params={"variable_key_pattern": "only_here"}).json()
        assert page == {"variables": [], "total_entries": 0}


class TestPostVariable:
    def test_a_variable_is_stored_encrypted_and_answered_with_its_state(self, rest, key):
        answer = rest.post("/variables", json={"key": key, "value": SECRET, "description": "Kept."})
        shown = {"value": json.dumps(SHOWN), "description": "Kept.", "is_encrypted": True, "team_name": None}
        assert (answer.status_code, answer.json()) == (201, {"key": key, **shown})
        assert answer.headers["etag"] == rest.get(f"/variables/{key}").headers["etag"]
        assert value_of(key) == json.dumps(SECRET, indent=2)
        assert "staple" not in stored(key)._val

    @pytest.mark.parametrize("value", ["***", SHOWN, [1, ["***"]]], ids=["whole", "fields", "entry"])
    def test_a_mask_is_no_value(self, rest, key, value):
        answer = rest.post("/variables", json={"key": key, "value": value})
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "masked-value")
        assert stored(key) is None

    def test_a_key_makes_one_variable_and_keeps_no_value_in_clear(self, rest, key):
        body, headers = {"key": key, "value": "not-so-sensitive"}, {"Idempotency-Key": uuid4().hex}
        answers = [rest.post("/variables", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["idempotency-replayed"] == "true"
        assert "not-so-sensitive" not in everything_kept()

    def test_a_key_is_not_empty(self, rest):
        # Airflow stores such a variable.
        assert rest.post("/variables", json={"key": "", "value": "1"}).status_code == 400

    def test_of_many_at_once_one_creates(self, rest, key):
        with ThreadPoolExecutor(8) as pool:
            body = {"key": key, "value": "1"}
            answers = list(pool.map(lambda _: rest.post("/variables", json=body).status_code, range(8)))
        assert sorted(answers) == [201, *[409] * 7]


def everything_kept():
    """All that is stored for the repetition of calls, as text."""
    from airflow_rest_api.storage.tables import idempotency

    with create_session(scoped=False) as session:
        return str(session.execute(select(idempotency.c.body, idempotency.c.headers)).all())


class TestGetVariable:
    def test_what_cannot_be_decrypted_is_null(self, rest, there, key):
        path = there("1")
        with create_session(scoped=False) as session:
            session.scalar(select(Variable).where(Variable.key == key))._val = "no ciphertext"
        answer = rest.get(path).json()
        assert (answer["value"], answer["is_encrypted"]) == (None, True)

    def test_its_state_is_what_is_stored(self, rest, there, key):
        path = there(SECRET)
        before = rest.get(path).headers["etag"]
        other = {**SECRET, "password": "another-one"}
        rest.patch(path, json={"key": key, "value": other})
        after = rest.get(path)
        assert after.json()["value"] == json.dumps(SHOWN)
        assert after.headers["etag"] != before


class TestPatchVariable:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (SHOWN, SECRET),
            (json.dumps(SHOWN), SECRET),
            ("***", SECRET),
            ({**SHOWN, "user": "grace"}, {**SECRET, "user": "grace"}),
            ({**SHOWN, "password": "changed-by-hand"}, {**SECRET, "password": "changed-by-hand"}),
        ],
        ids=["object", "text", "whole", "one_field", "one_secret"],
    )
    def test_what_was_shown_stays_as_it_is_stored(self, rest, there, key, sent, kept):
        path = there(SECRET)
        answer = rest.patch(path, json={"key": key, "value": sent})
        assert answer.status_code == 200, answer.text
        assert json.loads(value_of(key)) == kept

    def test_a_mask_for_what_is_not_there_is_refused_and_nothing_changes(self, rest, there, key):
        path = there(SECRET)
        body = {"key": key, "value": {**SHOWN, "api_key": "***"}, "description": "New."}
        assert rest.patch(path, json=body).status_code == 400
        assert (json.loads(value_of(key)), stored(key).description) == (SECRET, None)

    def test_the_same_again_is_the_same_state(self, rest, there, key):
        path = there(SECRET, description="Kept.")
        before = rest.get(path).headers["etag"]
        answer = rest.patch(path, json={"key": key, "value": SHOWN})
        assert answer.headers["etag"] == before


class TestPutVariable:
    def test_it_is_created_and_replaced_with_the_same_answer(self, rest, key):
        path, body = f"/variables/{key}", {"value": [1], "description": "Put."}
        answers = [rest.put(path, json=body) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        shown = {"value": "[1]", "description": "Put.", "is_encrypted": True, "team_name": None}
        assert answers[0].json() == answers[1].json() == {"key": key, **shown}
        assert answers[0].headers["etag"] == answers[1].headers["etag"]
        assert value_of(key) == "[\n  1\n]"

    @pytest.mark.parametrize("params", [{}, {"source": "all"}], ids=str)
    def test_what_was_read_can_be_edited_and_sent_back(self, rest, there, key, params):
        path = there(SECRET, description="Old.")
        read = rest.get(path, params=params)
        same = rest.put(path, json=read.json(), headers={"If-Match": read.headers["etag"]})
        assert (same.status_code, same.headers["etag"]) == (200, rest.get(path).headers["etag"])
        edited = rest.put(path, json={**read.json(), "description": "New.", "is_encrypted": False})
        assert edited.json() == {**rest.get(path).json(), "description": "New.", "is_encrypted": True}
        assert json.loads(value_of(key)) == SECRET

    def test_what_cannot_be_decrypted_stays_when_it_is_sent_back(self, rest, there, key):
        path = there("1")
        with create_session(scoped=False) as session:
            session.scalar(select(Variable).where(Variable.key == key))._val = "no ciphertext"
        edited = rest.put(path, json={**rest.get(path).json(), "description": "New."})
        assert (edited.status_code, edited.json()["description"]) == (200, "New.")
        assert stored(key)._val == "no ciphertext"
        assert rest.put(path, json={"value": "2"}).json()["value"] == "2"

    def test_what_is_left_out_is_emptied(self, rest, there, key):
        path = there("1", description="Old.")
        assert rest.put(path, json={"key": key, "value": "2"}).json()["description"] is None

    def test_a_mask_stays_as_it_is_stored_and_creates_nothing(self, rest, there, key):
        path = there(SECRET)
        assert rest.put(path, json={"value": SHOWN}).status_code == 200
        assert json.loads(value_of(key)) == SECRET
        assert rest.put(f"{path}_other", json={"value": SHOWN}).status_code == 400
        assert stored(f"{key}_other") is None

    @pytest.mark.parametrize(
        "body",
        [
            {"key": "another", "value": "1"},
            {"value": "1", "team_name": "a team"},
            {},
            {"value": "1", "more": 1},
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, rest, key, body):
        assert rest.put(f"/variables/{key}", json=body).status_code == 400
        assert stored(key) is None

    @pytest.mark.in_process
    def test_the_team_stays_unless_one_is_sent(self, rest, key, teams):
        wishes = [{"team_name": "blue"}, {}, {"team_name": "none"}, {"team_name": None}]
        answers = [rest.put(f"/variables/{key}", json={"value": "1", **wish}) for wish in wishes]
        assert [answer.status_code for answer in answers] == [200, 200, 400, 200]
        assert [answer.json().get("team_name") for answer in answers] == ["blue", "blue", None, None]

    @pytest.mark.parametrize("tag", ["*", '"0-0"'])
    def test_nothing_is_created_where_something_is_expected(self, rest, key, tag):
        answer = rest.put(f"/variables/{key}", json={"value": "1"}, headers={"If-Match": tag})
        assert (answer.status_code, stored(key)) == (412, None)

    def test_of_many_that_create_at_once_all_succeed(self, rest, key):
        with ThreadPoolExecutor(8) as pool:
            path = f"/variables/{key}"
            puts = pool.map(lambda number: rest.put(path, json={"value": str(number)}).status_code, range(8))
        assert list(puts) == [200] * 8

    @pytest.mark.postgres
    @pytest.mark.in_process
    def test_on_postgresql_they_do_as_well(self, rest, key):
        def change(number):
            path, entity = f"/variables/{key}", {"key": key, "value": str(number)}
            bulk = create(entity, action_on_existence="overwrite")
            calls = (
                ("PUT", path, {"value": "1"}),
                ("PATCH", "/variables", bulk),
                ("POST", "/variables", entity),
            )
            method, place, body = calls[number % 3]
            return method, rest.request(method, place, json=body).status_code

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(change, range(24)))
        allowed = {("PUT", 200), ("PATCH", 200), ("POST", 201), ("POST", 409)}
        assert set(answers) <= allowed
        assert answers.count(("POST", 201)) <= 1

    @pytest.mark.in_process
    def test_who_may_not_create_may_still_replace(self, rest, there, key, monkeypatch):
        from airflow_rest_api.security.access import AirflowPermissions

        path, known = there("1"), AirflowPermissions.may_named
        monkeypatch.setattr(
            AirflowPermissions,
            "may_named",
            lambda self, resource, name, method, team=None: (
                method != "POST" and known(self, resource, name, method, team)
            ),
        )
        assert rest.put(path, json={"value": "2"}).status_code == 200
        assert rest.put(f"{path}_other", json={"value": "2"}).status_code == 403
        assert (value_of(key), stored(f"{key}_other")) == ("2", None)

    @pytest.mark.parametrize("role", [None, "nobody", "viewer", "user", "op"])
    def test_who_may(self, rest, there, role):
        path = there("1")
        refused = {None: 401, "op": 200}.get(role, 403)
        assert rest.put(path, json={"value": "2"}, role=role).status_code == refused


class TestIfMatch:
    """`patch_variable`, `put_variable` and `delete_variable` with `If-Match`."""

    @pytest.fixture(params=["PATCH", "PUT", "DELETE"])
    def change(self, rest, key, request):
        def make(if_match):
            body = None if request.param == "DELETE" else {"json": {"key": key, "value": "changed"}}
            headers = {"If-Match": if_match}
            return rest.request(
                request.param, f"/variables/{key}", headers=headers, **(body or {})
            ).status_code

        return make

    def test_the_state_that_was_read_can_be_changed_once(self, rest, there, change):
        tag = rest.get(there("1")).headers["etag"]
        assert [change(tag), change(tag)] in ([200, 412], [204, 404])

    def test_another_state_is_left_alone(self, rest, there, change, key):
        path = there("1")
        tag = rest.get(path).headers["etag"]
        rest.patch(path, json={"key": key, "value": "2"})
        assert change(tag) == 412
        assert value_of(key) == "2"
        assert change("*") in (200, 204)


class TestDeleteVariable:
    def test_it_is_gone(self, rest, there, key):
        path = there("1")
        answers = [rest.delete(path) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [204, 404]
        assert answers[1].json()["variable_key"] == key


class TestBulkVariables:
    @pytest.mark.in_process
    def test_the_team_of_a_new_one_is_stored_and_kept_where_it_is_overwritten(self, rest, key, teams):
        # Airflow leaves the team of a new one out.
        new = create({"key": key, "value": "1", "team_name": "blue"})
        over = create({"key": key, "value": "2"}, action_on_existence="overwrite")
        unknown = create({"key": f"{key}_2", "value": "1", "team_name": "none"})
        bodies = (new, over, unknown)
        found = [statuses(rest.patch("/variables", json=body).json())["create"] for body in bodies]
        assert found == [([key], []), ([key], []), ([], [400])]
        assert (value_of(key), stored(key).team_name) == ("2", "blue")

    def test_what_was_deleted_can_be_created_again(self, rest, there, key):
        # Airflow tells a success, and the variable is gone all the same.
        there("1", description="Old.")
        again = create({"key": key, "value": "2"})["actions"]
        answer = rest.patch("/variables", json={"actions": delete(key)["actions"] + again})
        assert statuses(answer.json()) == {"create": ([key], []), "update": None, "delete": ([key], [])}
        assert (value_of(key), stored(key).description) == ("2", None)

    def test_an_empty_key_is_an_error_of_its_own(self, rest, key):
        # Airflow creates it.
        body = create({"key": "", "value": "1"}, {"key": key, "value": "1"})
        answer = rest.patch("/variables", json=body)
        assert statuses(answer.json())["create"] == ([key], [400])
        assert rest.post("/variables", json={"key": "", "value": "1"}).status_code == 400
        assert stored("") is None

    def test_a_variable_may_be_named_by_an_object(self, rest, there, key):
        # Airflow fails (500).
        there("1")
        answer = rest.patch("/variables", json=delete({"key": key, "value": "1"}))
        assert statuses(answer.json())["delete"] == ([key], [])
        assert stored(key) is None

    def test_a_mask_stays_as_it_is_stored_and_fails_where_nothing_is(self, rest, there, key):
        there(SECRET)
        shown, new = {"key": key, "value": SHOWN}, {"key": f"{key}_new", "value": "***"}
        for body, kind in (
            (create(shown, new, action_on_existence="overwrite"), "create"),
            (update(shown, {"key": key, "value": {**SHOWN, "api_key": "***"}}), "update"),
        ):
            assert statuses(rest.patch("/variables", json=body).json())[kind] == ([key], [400])
        assert json.loads(value_of(key)) == SECRET
        assert stored(f"{key}_new") is None

    @pytest.mark.parametrize("entity", ["missing", {"key": "missing", "value": "1"}], ids=["text", "object"])
    def test_a_kind_of_action_that_is_unknown_is_refused(self, rest, entity):
        body = {"actions": [{"action": "unheard-of", "entities": [entity]}]}
        assert rest.patch("/variables", json=body).status_code == 400
