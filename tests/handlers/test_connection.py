"""Connection: `openapi/paths/connection.yaml`, the shared part against Airflow's `/api/v2`."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from airflow.models.connection import Connection
from airflow.models.team import Team
from airflow.utils.session import create_session
from cryptography.fernet import Fernet
from sqlalchemy import select
from sqlalchemy import update as changing

from tests.support.bulk import create, delete, statuses, told, update
from tests.support.seed_rows import EXAMPLE_CONNECTION
from tests.support.shared_calls import assert_alike
from tests.support.shared_calls_of.connection import CALLS, OF_TEAMS

pytestmark = pytest.mark.usefixtures("restored_database")

PATH = "/connections/made"
BODY = {"connection_id": "made", "conn_type": "http"}
SECRETS = {"password": "planted-word", "extra": json.dumps({"token": "planted-token", "region": "north"})}
REVEAL = "/connections/example_mirror/reveal"
REASON = {"reason": "It moves."}
EMPTY = dict.fromkeys(("description", "host", "login", "schema", "port", "password", "extra", "team_name"))
MASKS = [
    {"password": "***"},
    {"extra": json.dumps({"token": "***"})},
    {"extra": json.dumps({"a": [{"b": "***"}]})},
]


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def stored(connection_id="made"):
    """The password and the extra in Airflow's database."""
    with create_session(scoped=False) as session:
        row = session.query(Connection).filter_by(conn_id=connection_id).one()
        return row.password, row.extra and json.loads(row.extra)


def locked_away(connection_id="made"):
    """Encrypt the secrets of a connection with a key that Airflow does not have."""
    fernet = Fernet(Fernet.generate_key())
    values = {"password": fernet.encrypt(b"lost-word").decode(), "extra": fernet.encrypt(b"{}").decode()}
    table = Connection.__table__
    flags = {"is_encrypted": True, "is_extra_encrypted": True}
    with create_session(scoped=False) as session:
        session.execute(changing(table).where(table.c.conn_id == connection_id).values(**values, **flags))


def without_json(connection_id="made"):
    """Give a connection an extra that is not JSON, as older versions of Airflow could store it."""
    table = Connection.__table__
    values = {"extra": "no JSON", "is_extra_encrypted": False}
    with create_session(scoped=False) as session:
        session.execute(changing(table).where(table.c.conn_id == connection_id).values(**values))


def stored_texts(connection_id="made"):
    """The password and the extra as the row has them."""
    table = Connection.__table__
    with create_session(scoped=False) as session:
        statement = select(table.c.password, table.c.extra).where(table.c.conn_id == connection_id)
        return session.execute(statement).one()


def with_teams(*names):
    with create_session(scoped=False) as session:
        session.add_all(Team(name=name) for name in names)


@pytest.fixture
def made(rest):
    """A connection with secrets, and its entity tag."""
    answer = rest.post("/connections", json={**BODY, **SECRETS})
    assert answer.status_code == 201
    return answer.headers["ETag"]


class TestParity:
    @pytest.mark.slow
    def test_everything_is_answered_as_by_airflow(self, rest, v2):
        assert_alike(CALLS, rest, v2, normalise=told)

    @pytest.mark.in_process
    def test_teams_are_airflows(self, rest, v2):
        with_teams("blue", "red")
        with mock.patch.dict(os.environ, {"AIRFLOW__CORE__MULTI_TEAM": "True"}):
            assert_alike(OF_TEAMS, rest, v2, normalise=told)


class TestGetConnections:
    def test_what_only_the_environment_knows_is_not_listed(self, rest):
        with mock.patch.dict(os.environ, {"AIRFLOW_CONN_OUTSIDE": "http://outside.invalid"}):
            found = rest.get("/connections").json()["connections"]
        assert "outside" not in [connection["connection_id"] for connection in found]

    def test_a_connection_that_cannot_be_decrypted_does_not_break_the_list(self, rest, v2, made):
        locked_away()
        found = {entry["connection_id"]: entry for entry in rest.get("/connections").json()["connections"]}
        assert (found["made"]["password"], found["made"]["extra"]) == ("***", "***")
        assert "warehouse" in found
        assert v2.get("/connections").status_code == 500


class TestGetConnection:
    def test_an_extra_that_repeats_the_password_is_masked_there(self, rest):
        uri = f"postgres://reader:{SECRETS['password']}@warehouse.invalid"
        rest.post("/connections", json={**BODY, **SECRETS, "extra": json.dumps({"uri": uri})})
        extra = json.loads(rest.get(PATH).json()["extra"])
        assert extra == {"uri": "postgres://reader:***@warehouse.invalid"}

    def test_what_has_not_changed_is_not_sent_again(self, rest, made):
        answer = rest.get(PATH)
        assert answer.headers["ETag"].partition("-")[0] == made.partition("-")[0]
        assert rest.get(PATH, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304

    def test_another_password_is_another_state_though_the_answer_is_the_same(self, rest, made):
        before = rest.get(PATH)
        rest.patch(PATH, json={**BODY, "password": "another-word"})
        after = rest.get(PATH)
        assert before.content == after.content
        assert before.headers["ETag"] != after.headers["ETag"]


class TestPostConnection:
    @pytest.mark.parametrize("fields", MASKS, ids=str)
    def test_a_mask_is_never_stored(self, rest, v2, fields):
        # Airflow stores it as it is.
        assert v2.post("/connections", json={**BODY, "connection_id": "theirs", **fields}).status_code == 201
        answer = rest.post("/connections", json={**BODY, **fields})
        assert kind(answer) == (400, "masked-value")
        assert rest.get(PATH).status_code == 404

    @pytest.mark.parametrize("connection_id", ["a\u203fb", "a\u20ac", "e\u0301", "a\u200db", "\u00a0"])
    def test_what_airflow_would_store_without_an_id_is_refused(self, rest, connection_id):
        answer = rest.post("/connections", json={**BODY, "connection_id": connection_id})
        assert kind(answer) == (400, "connection-id-not-allowed")

    @pytest.mark.parametrize("depth", [63, 64, 400, 100_000])
    def test_an_extra_may_be_nested_but_not_without_end(self, rest, depth):
        extra = '{"a":' + "[" * depth + "]" * depth + "}"
        answer = rest.post("/connections", json={**BODY, "extra": extra})
        assert answer.status_code == (201 if depth == 63 else 400)

    def test_of_many_at_once_one_creates(self, rest):
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: rest.post("/connections", json=BODY), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7

    def test_a_repetition_with_its_key_gets_the_first_answer(self, rest):
        first, second = (
            rest.post("/connections", json={**BODY, **SECRETS}, headers={"Idempotency-Key": "one-key"})
            for _ in range(2)
        )
        assert (first.content, second.headers["Idempotency-Replayed"]) == (second.content, "true")

    def test_a_long_extra_is_refused_for_its_length(self, rest):
        extra = json.dumps({"token": "x" * 5_000_000})
        assert rest.post("/connections", json={**BODY, "extra": extra}).status_code == 413


class TestPatchConnection:
    @pytest.mark.parametrize("fields", MASKS, ids=str)
    def test_a_mask_for_which_nothing_is_stored_is_refused(self, rest, fields):
        rest.post("/connections", json=BODY)
        assert kind(rest.patch(PATH, json={**BODY, **fields})) == (400, "masked-value")
        assert stored() == (None, None)

    def test_what_was_read_can_be_sent_back_with_one_field_changed(self, rest, made):
        read = rest.get(PATH).json()
        answer = rest.patch(PATH, json={**read, "host": "elsewhere.invalid"})
        assert answer.json() == {**read, "host": "elsewhere.invalid"}
        assert stored() == ("planted-word", {"token": "planted-token", "region": "north"})

    def test_a_mask_beside_a_new_field_keeps_what_is_stored(self, rest, made):
        rest.patch(PATH, json={**BODY, "extra": json.dumps({"token": "***", "region": "south"})})
        assert stored()[1] == {"token": "planted-token", "region": "south"}

    def test_a_mask_within_a_text_keeps_what_is_stored(self, rest):
        # Airflow stores the mask.
        extra = {"uri": f"a://b:{SECRETS['password']}@c", "region": "north"}
        rest.post("/connections", json={**BODY, **SECRETS, "extra": json.dumps(extra)})
        shown = json.loads(rest.get(PATH).json()["extra"])
        assert shown["uri"] == "a://b:***@c"
        rest.patch(PATH, json={**BODY, "extra": json.dumps({**shown, "region": "south"})})
        assert stored()[1] == {**extra, "region": "south"}

    def test_a_mask_under_a_harmless_name_is_no_text_to_be_stored(self, rest, made):
        # Airflow merges what has a sensitive name, and stores the rest as it comes.
        answer = rest.patch(PATH, json={**BODY, "extra": json.dumps({"region": "***"})})
        assert answer.status_code == 400
        assert stored()[1]["region"] == "north"

    def test_only_the_state_that_was_seen_is_changed(self, rest, made):
        changed = rest.patch(PATH, json={**BODY, "host": "a"}, headers={"If-Match": made})
        assert changed.status_code == 200
        assert rest.patch(PATH, json={**BODY, "host": "b"}, headers={"If-Match": made}).status_code == 412
        assert rest.get(PATH).json()["host"] == "a"

    def test_one_that_cannot_be_decrypted_can_be_changed(self, rest, made):
        locked_away()
        answer = rest.patch(PATH, json={**BODY, "host": "a", "password": "***"})
        assert (answer.status_code, answer.json()["password"], answer.json()["extra"]) == (200, "***", "***")
        mixed = rest.patch(PATH, json={**BODY, "extra": json.dumps({"token": "***"})})
        assert kind(mixed) == (400, "masked-value")
        assert rest.patch(PATH, json={**BODY, **SECRETS}).status_code == 200
        assert stored() == ("planted-word", {"token": "planted-token", "region": "north"})


class TestPutConnection:
    def test_there_is_one_afterwards_whether_there_was_one_or_not(self, rest):
        first, second = (rest.put(PATH, json={"conn_type": "http", "host": "a"}) for _ in range(2))
        assert first.json() == {**BODY, **EMPTY, "host": "a"}
        assert (
            (first.status_code, first.content) == (second.status_code, second.content) == (200, first.content)
        )
        assert first.headers["ETag"] == second.headers["ETag"]

    @pytest.mark.parametrize(
        "fields", [{}, {"password": None, "extra": None}, {"password": "", "extra": None}], ids=str
    )
    def test_what_is_not_sent_is_gone_secrets_included(self, rest, made, fields):
        assert rest.put(PATH, json={"conn_type": "ftp", **fields}).json() == {
            **BODY,
            **EMPTY,
            "conn_type": "ftp",
        }
        assert stored() == (None, None)

    def test_what_was_read_can_be_sent_back(self, rest, made):
        read = rest.get(PATH)
        answer = rest.put(PATH, json=read.json(), headers={"If-Match": made})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (
            200,
            read.content,
            read.headers["ETag"],
        )
        assert stored() == ("planted-word", {"token": "planted-token", "region": "north"})

    @pytest.mark.parametrize("spoil", [locked_away, without_json])
    def test_what_cannot_be_shown_stays_when_it_is_sent_back(self, rest, made, spoil):
        spoil()
        before, read = stored_texts(), rest.get(PATH).json()
        assert read["extra"] == "***"
        edited = rest.put(PATH, json={**read, "host": "edited.invalid"})
        assert edited.json() == {**read, "host": "edited.invalid"}
        assert stored_texts() == before

    @pytest.mark.parametrize("fields", MASKS, ids=str)
    def test_a_mask_is_never_stored(self, rest, fields):
        assert kind(rest.put(PATH, json={"conn_type": "http", **fields})) == (400, "masked-value")
        assert rest.get(PATH).status_code == 404

    def test_another_state_than_the_one_that_was_seen_is_left_alone(self, rest, made):
        assert rest.put(PATH, json=BODY, headers={"If-Match": made}).status_code == 200
        assert rest.put(PATH, json=BODY, headers={"If-Match": made}).status_code == 412
        assert rest.put(PATH, json=BODY, headers={"If-Match": "*"}).status_code == 200

    @pytest.mark.parametrize("expected", ["*", '"abc-def"'])
    def test_nothing_is_created_where_one_is_expected(self, rest, expected):
        answer = rest.put(PATH, json=BODY, headers={"If-Match": expected})
        assert kind(answer) == (412, "nothing-to-replace")
        assert rest.get(PATH).status_code == 404

    @pytest.mark.parametrize(
        ("path", "body", "expected"),
        [
            (PATH, {"conn_type": "http", "connection_id": "other"}, (400, "name-differs")),
            (PATH, {"conn_type": "http", "extra": "[]"}, (400, "extra-not-an-object")),
            (PATH, {"conn_type": "http", "team_name": "blue"}, (400, "teams-are-off")),
            (PATH, {}, (400, "malformed")),
            (PATH, {"conn_type": "http", "port": 2**31}, (400, "malformed")),
            ("/connections/a b", {"conn_type": "http"}, (400, "connection-id-not-allowed")),
            (f"/connections/{'x' * 201}", {"conn_type": "http"}, (400, "connection-id-not-allowed")),
            ("/connections/a%2Fb", {"conn_type": "http"}, (400, "connection-id-not-allowed")),
            ("/connections/a/b", {"conn_type": "http"}, (404, "not-found")),
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, rest, path, body, expected):
        assert kind(rest.put(path, json=body)) == expected

    def test_an_id_that_the_command_line_allowed_can_be_replaced(self, rest):
        with create_session(scoped=False) as session:
            session.add(Connection(conn_id="old:name", conn_type="http"))
        assert rest.put("/connections/old:name", json={"conn_type": "ftp"}).json()["conn_type"] == "ftp"

    def test_an_id_with_a_slash_can_be_read_replaced_and_deleted(self, rest):
        with create_session(scoped=False) as session:
            session.add(Connection(conn_id="team/db", conn_type="http"))
        path = "/connections/team%2Fdb"
        assert rest.get(path).json()["connection_id"] == "team/db"
        assert rest.put(path, json={"conn_type": "ssh"}).json()["conn_type"] == "ssh"
        assert rest.post(f"{path}/reveal", json={"reason": "x"}).status_code == 403
        assert rest.get("/connections/team/db").status_code == 404
        assert rest.delete(path).status_code == 204

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 403), ("op", 200)]
    )
    def test_who_may(self, rest, role, status):
        assert rest.put(PATH, json=BODY, role=role).status_code == status

    @pytest.mark.in_process
    def test_the_team_stays_unless_one_is_sent(self, rest):
        with_teams("blue")
        with mock.patch.dict(os.environ, {"AIRFLOW__CORE__MULTI_TEAM": "True"}):
            bodies = [{"team_name": "blue"}, {}, {"team_name": None}, {"team_name": "none"}]
            answers = [rest.put(PATH, json={"conn_type": "http", **body}) for body in bodies]
        assert [answer.json().get("team_name") for answer in answers] == ["blue", "blue", None, None]
        assert kind(answers[3]) == (400, "unknown-team")

    def test_of_many_at_once_all_succeed(self, rest):
        bodies = [{"conn_type": "http", "port": number} for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda body: rest.put(PATH, json=body), bodies))
        assert {answer.status_code for answer in answers} == {200}


class TestDeleteConnection:
    def test_only_the_state_that_was_seen_is_deleted(self, rest, made):
        rest.patch(PATH, json={**BODY, "port": 1})
        assert rest.delete(PATH, headers={"If-Match": made}).status_code == 412
        seen = rest.get(PATH).headers["ETag"]
        assert rest.delete(PATH, headers={"If-Match": seen}).status_code == 204

    def test_one_that_cannot_be_decrypted_can_be_deleted(self, rest, v2, made):
        locked_away()
        assert v2.delete(PATH).status_code == 500
        assert rest.delete(PATH).status_code == 204


class TestBulkConnections:
    @pytest.mark.parametrize("fields", MASKS, ids=str)
    def test_a_mask_is_never_stored(self, rest, fields):
        entity = {**BODY, **fields}
        refused = {"create": ([], [400]), "update": None, "delete": None}
        assert statuses(rest.patch("/connections", json=create(entity)).json()) == refused
        rest.post("/connections", json=BODY)
        overwritten = rest.patch("/connections", json=create(entity, action_on_existence="overwrite"))
        assert statuses(overwritten.json()) == refused
        updated = rest.patch("/connections", json=update(entity)).json()
        assert statuses(updated)["update"] == ([], [400])
        assert stored() == (None, None)

    @pytest.mark.parametrize("make", [lambda one: create(one, action_on_existence="overwrite"), update])
    def test_a_mask_keeps_what_is_stored(self, rest, made, make):
        # Airflow stores the masks where it overwrites.
        entity = {**BODY, "password": "***", "extra": json.dumps({"token": "***", "new": 1})}
        assert rest.patch("/connections", json=make(entity)).status_code == 200
        assert stored() == ("planted-word", {"token": "planted-token", "new": 1})

    def test_an_update_takes_the_fields_of_its_mask_alone(self, rest, made):
        # Airflow forgets the mask.
        entity = {**BODY, "host": "a", "port": 1}
        rest.patch("/connections", json=update(entity, update_mask=["port"]))
        found = rest.get(PATH).json()
        assert (found["host"], found["port"]) == (None, 1)

    def test_what_is_deleted_may_be_named_by_an_object(self, rest, made):
        # Airflow fails (500).
        answer = rest.patch("/connections", json=delete(BODY, "made"))
        assert statuses(answer.json())["delete"] == (["made"], [])

    def test_what_an_action_has_created_the_next_can_change(self, rest):
        body = {"actions": create(BODY)["actions"] + update({**BODY, "port": 5})["actions"]}
        assert statuses(rest.patch("/connections", json=body).json())["update"] == (["made"], [])
        assert rest.get(PATH).json()["port"] == 5


@pytest.mark.in_process
class TestRevealConnection:
    def test_it_is_switched_off_unless_told_otherwise(self, rest):
        answer = rest.post(REVEAL, json=REASON)
        assert (answer.status_code, answer.json()["switch"]) == (403, "reveal_enabled")

    @pytest.mark.parametrize("role", ["op", "user", "viewer"])
    def test_it_takes_the_power_to_reveal(self, revealing, role):
        assert kind(revealing.post(REVEAL, json=REASON, role=role)) == (403, "power-missing")

    def test_the_connection_is_answered_in_clear(self, revealing, rest):
        answer = revealing.post(REVEAL, json=REASON)
        masked = rest.get("/connections/example_mirror").json()
        clear = {name: EXAMPLE_CONNECTION[name] for name in ("password", "extra")}
        uri = Connection(**EXAMPLE_CONNECTION).get_uri()
        assert answer.json() == {**masked, **clear, "uri": uri}
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": None}, {"reason": "x" * 1001}, None])
    def test_a_reason_is_needed(self, revealing, body):
        assert revealing.post(REVEAL, json=body).status_code == 400

    def test_what_is_not_there_or_cannot_be_decrypted_is_not_revealed(self, revealing, made):
        assert kind(revealing.post("/connections/none/reveal", json=REASON)) == (404, "connection-not-found")
        locked_away()
        refused = revealing.post(f"{PATH}/reveal", json=REASON)
        assert kind(refused) == (409, "connection-not-decryptable")

    def test_the_event_log_tells_who_and_why_and_not_what(self, revealing, rest):
        revealing.post(REVEAL, json=REASON)
        params = {"event": "reveal_connection", "order_by": ["-when"], "limit": 2}
        rows = [
            json.loads(row["extra"]) for row in rest.get("/eventLogs", params=params).json()["event_logs"]
        ]
        assert [row["phase"] for row in rows] == ["outcome", "intent"]
        assert rows[1]["connection_id"] == "example_mirror"
        assert rows[1]["reason"] == "It moves."
        assert "made-up" not in json.dumps(rows)

    def test_no_connection_that_airflow_could_not_read_is_written_in_one_line(self, revealing, made):
        table = Connection.__table__
        with create_session(scoped=False) as session:
            values = {"extra": "no JSON", "is_extra_encrypted": False}
            session.execute(changing(table).where(table.c.conn_id == "made").values(**values))
        answer = revealing.post(f"{PATH}/reveal", json=REASON).json()
        assert (answer["extra"], answer["uri"]) == ("no JSON", None)
        assert revealing.get(PATH).json()["extra"] == "***"
