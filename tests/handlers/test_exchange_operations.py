"""Export and import of variables, connections and pools: who may, what is refused, and what is masked."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pytest
from airflow.models.connection import Connection
from airflow.utils.session import create_session

from airflow_rest_api.security.access import AirflowPermissions
from airflow_rest_api.services.caller import NamedScope
from airflow_rest_api.services.connections.stored_connection import StoredConnection
from airflow_rest_api.services.exchange import stored_text
from tests.support.exchanging import FORMATS, NOUNS, REVEALED, actions, export, kind, send
from tests.support.stored_objects import fill, stored, wipe

pytestmark = pytest.mark.usefixtures("restored_database")

SECRET = "never-to-be-shown"
CONNECTION = Connection.__table__
VARIABLES = {
    "region": ("eu-west-1", "Where"),
    "version": ("3.10", None),
    "api_password": (SECRET, None),
    "settings": (json.dumps({"host": "h", "password": SECRET}, indent=2), None),
}
CONNECTIONS = {
    "main": {
        "conn_type": "postgres",
        "login": "etl",
        "password": SECRET,
        "port": 5432,
        "description": "Main",
    },
    "cloud": {
        "conn_type": "aws",
        "extra": json.dumps({"region": "eu", "secret_key": SECRET, "deep": [{"token": SECRET}]}),
    },
}
POOLS = {"narrow": (3, "A pool", False)}


@pytest.fixture
def filled():
    fill(VARIABLES, CONNECTIONS, POOLS)
    return stored()


def rows(rest, event):
    told = rest.get("/eventLogs", params={"event": event, "order_by": "id"}).json()["event_logs"]
    return [json.loads(row["extra"]) for row in told]


class TestExports:
    """`export_variables`, `export_connections`, `export_pools`."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_secrets_are_masked_and_nothing_else(self, rest, filled, form):
        for noun in NOUNS:
            answer = export(rest, noun, form)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.headers["cache-control"] == "no-store"
            assert SECRET not in answer.text
            assert ("***" in answer.text or "%2A%2A%2A" in answer.text) is (noun != "pools")
        assert rows(rest, "export_variables") == []

    @pytest.mark.parametrize("form", FORMATS)
    def test_an_extra_that_repeats_a_password_is_masked_there(self, rest, form):
        password = f"repeated-for-{form}"
        row = StoredConnection(conn_id="repeating", conn_type="http")
        row.password, row.extra = password, json.dumps({"uri": f"a://b:{password}@c", "region": "north"})
        # As another process stores it: Airflow's masker has never met it in this one.
        with create_session(scoped=False) as session:
            session.add(row)
        text = export(rest, "connections", form).text
        assert "north" in text
        assert password not in text
        # Sent back with the mask, it stays as it is stored.
        assert (
            actions(send(rest, "connections", text, f"file.{form}", on_conflict="overwrite"))["repeating"]
            == "unchanged"
        )

    def test_whole_files(self, rest, filled):
        assert json.loads(export(rest, "variables").text) == {
            "region": {"value": "eu-west-1", "description": "Where"},
            "version": "3.10",
            "api_password": "***",
            "settings": {"host": "h", "password": "***"},
        }
        assert export(rest, "connections", "env", connection_id_pattern="mai").text == (
            '# description: "Main"\nmain=postgres://etl:%2A%2A%2A@:5432\n'
        )
        assert export(rest, "pools", "yaml", pool_name_pattern="NARROW").text == (
            "narrow:\n  description: A pool\n  include_deferred: false\n  slots: 3\n"
        )
        assert export(rest, "variables", "env", variable_key_pattern="re|ver").text == (
            '# description: "Where"\nregion=eu-west-1\nversion=3.10\n'
        )

    def test_an_export_of_nothing_is_imported(self, rest):
        for noun, name in (
            ("variables", "variable_key"),
            ("connections", "connection_id"),
            ("pools", "pool_name"),
        ):
            for form in FORMATS:
                text = export(rest, noun, form, **{f"{name}_pattern": "no such"}).text
                assert actions(send(rest, noun, text, f"a.{form}")) == {}

    @pytest.mark.in_process
    def test_revealing_takes_the_switch_the_power_and_a_reason_and_is_recorded(self, rest, revealing, filled):
        for noun in ("variables", "connections"):
            event = f"export_{noun}"
            assert kind(export(rest, noun, **REVEALED)) == (403, "switch-off")
            assert kind(export(revealing, noun, **REVEALED, role="op")) == (403, "power-missing")
            assert kind(export(revealing, noun, include_secrets=True)) == (400, "reason-missing")
            assert kind(export(revealing, noun, include_secrets=True, reason=" ")) == (400, "reason-missing")
            answer = export(revealing, noun, **REVEALED)
            assert SECRET in answer.text
            assert answer.headers["cache-control"] == "no-store"
            told = [(row["phase"], row.get("status"), row.get("reason")) for row in rows(rest, event)[-2:]]
            assert told == [("intent", None, "moving house"), ("outcome", 200, "moving house")]
            statuses = [row["status"] for row in rows(rest, event) if row["phase"] == "outcome"]
            assert statuses == [403, 403, 400, 400, 200]

    @pytest.mark.in_process
    def test_only_what_the_caller_may_read_is_in_it(self, rest, filled, monkeypatch):
        for noun in NOUNS:
            assert export(rest, noun, role="nobody").status_code == 403
        scope = NamedScope(frozenset({"region", "main", "narrow"}), everything=False)
        monkeypatch.setattr(AirflowPermissions, "named_scope", lambda *_: scope)
        assert [list(json.loads(export(rest, noun).text)) for noun in NOUNS] == [
            ["region"],
            ["main"],
            ["narrow"],
        ]

    def test_what_does_not_fit_into_a_line_is_named_and_refused(self, rest):
        fill(
            {
                "a": ("1\n2", None),
                "b=": ("1", None),
                "#c": ("1", None),
                "d": ("", "nothing"),
                "e": ("[\n1]", None),
            }
        )
        answer = export(rest, "variables", "env")
        assert (kind(answer), answer.json()["names"]) == ((409, "not-in-format"), ["#c", "a", "b=", "d"])
        fill(connections={"x": {"conn_type": "a b"}})
        answer = export(rest, "connections", "env")
        assert (kind(answer), answer.json()["names"]) == ((409, "not-in-format"), ["x"])

    def test_what_cannot_be_decrypted_is_named_and_can_be_overwritten(self, rest, filled):
        break_secrets()
        for noun, name in (("variables", "api_password"), ("connections", "main")):
            answer = export(rest, noun)
            assert (kind(answer), answer.json()["name"]) == ((409, "secret-unreadable"), name)
            assert answer.json()["names"] == [name]
        new = {"main": {"conn_type": "http", "password": "new"}}
        assert actions(send(rest, "connections", new, on_conflict="overwrite")) == {"main": "updated"}
        assert stored_connection("main")["password"] == "new"
        assert actions(send(rest, "variables", {"api_password": "1"}, on_conflict="overwrite")) == {
            "api_password": "updated"
        }


@pytest.mark.usefixtures("filled")
class TestUndecryptable:
    @pytest.fixture
    def broken(self, filled):
        from airflow.models.connection import Connection
        from airflow.models.variable import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import update

        with create_session(scoped=False) as session:
            for name in ("first/one", "second, \u00e4"):
                session.add(Variable(key=name, val="x"))
                session.add(
                    Connection(
                        conn_id=name.partition("/")[0].partition(",")[0], conn_type="http", password="x"
                    )
                )
            session.flush()
            for table, column in ((Variable.__table__, "val"), (Connection.__table__, "password")):
                name = table.c.key if column == "val" else table.c.conn_id
                broken = name.like("first%") | name.like("second%")
                session.execute(
                    update(table).where(broken).values({column: "gibberish", "is_encrypted": True})
                )
        return {"variables": ["first/one", "second, \u00e4"], "connections": ["first", "second"]}

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("noun", ["variables", "connections"])
    def test_all_are_named_in_one_response_and_can_be_left_out(self, rest, broken, noun, form):
        answer = export(rest, noun, form)
        assert kind(answer) == (409, "secret-unreadable")
        assert answer.json()["names"] == broken[noun]
        assert "skip_undecryptable=true" in answer.json()["detail"]
        answer = export(rest, noun, form, skip_undecryptable=True)
        assert answer.status_code == 200
        assert answer.headers["skipped-count"] == "2"
        assert [unquote(name) for name in answer.headers["skipped-names"].split(",")] == broken[noun]
        assert "second" not in answer.text
        assert answer.text

    def test_where_all_can_be_decrypted_there_is_no_header(self, rest):
        answer = export(rest, "variables", skip_undecryptable=True)
        assert answer.status_code == 200
        assert "skipped-count" not in answer.headers

    def test_the_header_names_as_many_as_fit(self, rest, broken):
        from airflow.models.variable import Variable
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            session.add_all(Variable(key=f"{number:->250}", val="x") for number in range(50))
            session.flush()
            session.execute(Variable.__table__.update().values(val="gibberish", is_encrypted=True))
        answer = export(rest, "variables", skip_undecryptable=True)
        assert int(answer.headers["skipped-count"]) > 50
        assert len(answer.headers["skipped-names"]) <= 4000


EXTRAS = ["no JSON", "[1, 2]", "5", "null", '"text"', "{", "a=b&c=d", "\u00e4 % ***x", " "]


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
class TestExtrasThatAreNotObjects:
    """Airflow 2 stored them, and Airflow 3 neither reads nor writes them."""

    def put(self, name, extra):
        text, is_encrypted = stored_text.encrypted(extra)
        columns = {"extra": text, "is_extra_encrypted": is_encrypted, "is_encrypted": False}
        with create_session(scoped=False) as session:
            session.execute(CONNECTION.insert().values(conn_id=name, conn_type="http", **columns))

    def extras(self):
        with create_session(scoped=False) as session:
            rows = session.execute(CONNECTION.select().order_by(CONNECTION.c.id)).all()
        return {
            row.conn_id: stored_text.decrypted(
                "connection", "", row.extra, is_encrypted=row.is_extra_encrypted
            )
            for row in rows
        }

    @pytest.mark.parametrize("form", ["json", "yaml"])
    def test_they_come_back_as_they_were(self, revealing, form):
        wipe()
        for number, extra in enumerate(EXTRAS):
            self.put(f"team/c{number}", extra)
        before = self.extras()
        answer = export(revealing, "connections", form, **REVEALED)
        assert answer.status_code == 200, answer.text
        wipe()
        sent = send(revealing, "connections", answer.content, f"all.{form}")
        assert sent.status_code == 200, sent.text
        assert self.extras() == before

    def test_no_line_of_env_holds_them_nor_ids_that_are_not_names(self, revealing):
        wipe()
        for name, extra in (("old", "no JSON"), ("team/db", "{}"), ("new", "{}")):
            self.put(name, extra)
        answer = export(revealing, "connections", "env", **REVEALED)
        assert (kind(answer), answer.json()["names"]) == ((409, "not-in-format"), ["old", "team/db"])

    @pytest.mark.parametrize("form", ["json", "yaml"])
    def test_masked_they_stand_for_what_is_stored(self, rest, form):
        wipe()
        self.put("old", "a-secret-without-json")
        answer = export(rest, "connections", form)
        assert "a-secret" not in answer.text
        again = send(rest, "connections", answer.content, f"all.{form}", on_conflict="overwrite")
        assert actions(again) == {"old": "unchanged"}
        assert self.extras() == {"old": "a-secret-without-json"}
        wipe()
        fresh = send(rest, "connections", answer.content, f"all.{form}")
        assert fresh.json()["items"][0]["reason"] == (
            "Without the secrets of its extra, which the file has masked."
        )
        assert self.extras() == {"old": None}


def break_secrets():
    from airflow.models.connection import Connection
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session(scoped=False) as session:
        session.execute(
            update(Variable.__table__).where(Variable.__table__.c.key == "api_password").values(val="x")
        )
        table = Connection.__table__
        session.execute(update(table).where(table.c.conn_id == "main").values(password="x"))


def stored_connection(name):
    return stored()["connections"][name]


# Of each noun: a file, the name in it that exists, and the one that does not.
ENTRIES = {
    "variables": ({"region": "elsewhere", "new": {"value": [1], "description": "New"}}, "region", "new"),
    "connections": (
        {"main": "http://h", "new": {"conn_type": "ssh", "extra_dejson": {"a": 1}}},
        "main",
        "new",
    ),
    "pools": ({"narrow": {"slots": 4, "description": None}, "new": {"slots": -1}}, "narrow", "new"),
}


class TestImports:
    """`import_variables`, `import_connections`, `import_pools`."""

    @pytest.mark.parametrize("noun", NOUNS)
    def test_what_exists_is_a_conflict_or_left_alone_or_overwritten(self, rest, filled, noun):
        entries, old, new = ENTRIES[noun]
        answer = send(rest, noun, entries)
        assert (kind(answer), answer.json()["names"]) == ((409, "already-there"), [old])
        assert stored() == filled
        skipped = send(rest, noun, entries, on_conflict="skip", dry_run=True)
        assert stored() == filled
        answer = send(rest, noun, entries, on_conflict="skip")
        assert (
            answer.json()
            == skipped.json()
            == {
                "items": [
                    {"name": old, "action": "skipped", "reason": "It exists already."},
                    {"name": new, "action": "created", "reason": None},
                ],
                "created": 1,
                "updated": 0,
                "skipped": 1,
                "unchanged": 0,
                "total_entries": 2,
            }
        )
        assert stored()[noun][old] == filled[noun][old]
        tried = send(rest, noun, entries, on_conflict="overwrite", dry_run=True)
        assert stored()[noun][old] == filled[noun][old]
        answer = send(rest, noun, entries, on_conflict="overwrite")
        assert actions(answer) == actions(tried) == {old: "updated", new: "unchanged"}
        assert stored()[noun][old] != filled[noun][old]

    def test_they_are_stored_as_the_cli_stores_them(self, rest, filled):
        for noun in NOUNS:
            assert send(rest, noun, ENTRIES[noun][0], on_conflict="overwrite").status_code == 200
        found = stored()
        assert found["variables"]["new"] == ["[\n  1\n]", "New", True]
        assert found["variables"]["region"] == ["elsewhere", None, True]
        assert found["connections"]["new"]["extra"] == '{"a": 1}'
        assert found["connections"]["main"] == {
            **dict.fromkeys(found["connections"]["main"]),
            "conn_type": "http",
            "host": "h",
            "is_encrypted": False,
            "is_extra_encrypted": False,
        }
        assert found["pools"]["new"] == [-1, None, False]

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_masked_file_keeps_what_is_stored(self, rest, filled, form):
        files = {noun: export(rest, noun, form).text for noun in NOUNS}
        for noun, text in files.items():
            assert set(actions(send(rest, noun, text, f"a.{form}", on_conflict="overwrite")).values()) == {
                "unchanged"
            }
        changed = files["connections"].replace("etl", "other")
        answer = send(rest, "connections", changed, f"a.{form}", on_conflict="overwrite")
        assert actions(answer) == {"cloud": "unchanged", "main": "updated"}
        found = stored()
        assert (found["connections"]["main"]["login"], found["connections"]["main"]["password"]) == (
            "other",
            SECRET,
        )
        assert (found["variables"], found["connections"]["cloud"]) == (
            filled["variables"],
            filled["connections"]["cloud"],
        )

    def test_nobody_is_told_whether_a_guess_is_the_stored_secret(self, rest, filled):
        main = {"conn_type": "postgres", "login": "etl", "port": 5432, "description": "Main"}
        cloud = {
            "conn_type": "aws",
            "extra": {"region": "eu", "secret_key": "***", "deep": [{"token": "***"}]},
        }
        for guess in (SECRET, "another one"):
            for noun, entries in (
                ("variables", {"api_password": guess, "settings": {"host": "h", "password": guess}}),
                (
                    "connections",
                    {
                        "main": {**main, "password": guess},
                        "cloud": {**cloud, "extra": {**cloud["extra"], "secret_key": guess}},
                    },
                ),
            ):
                answer = send(rest, noun, entries, on_conflict="overwrite", dry_run=True)
                assert set(actions(answer).values()) == {"updated"}
        masked = {"main": {**main, "password": "***"}, "cloud": cloud}
        answer = send(rest, "connections", masked, on_conflict="overwrite")
        assert set(actions(answer).values()) == {"unchanged"}
        assert stored() == filled

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_mask_is_never_stored(self, rest, filled, form):
        files = {noun: export(rest, noun, form).text for noun in NOUNS}
        wipe()
        answer = send(rest, "variables", files["variables"], f"a.{form}")
        assert kind(answer) == (400, "import-rejected")
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/api_password", "/settings"]
        answer = send(rest, "connections", files["connections"], f"a.{form}")
        assert {item["name"]: item["reason"] for item in answer.json()["items"]} == {
            "cloud": "Without the secrets of its extra, which the file has masked.",
            "main": "Without the password, which the file has masked.",
        }
        found = stored()
        assert "***" not in json.dumps(found)
        assert found["variables"] == {}
        assert json.loads(found["connections"]["cloud"]["extra"]) == {"region": "eu", "deep": [{}]}

    def test_one_wrong_entry_and_nothing_is_imported(self, rest, filled):
        wrong = {
            "variables": [
                {"": "1"},
                {"k" * 251: "1"},
                {"a": "\ud800"},
                {"a": {"value": 1, "description": 2}},
            ],
            "connections": [
                *(
                    {"a/b": "http://h"},
                    {"é b": "http://h"},
                    {"a": ""},
                    {"a": "no scheme"},
                    {"a": 1},
                    {"a": ["x://", "y://"]},
                ),
                *(
                    {"a": {"host": SECRET}},
                    {"a": {"conn_type": ""}},
                    {"a": {"conn_type": "x", "colour": SECRET}},
                ),
                *(
                    {"a": {"conn_type": "x", "port": "x"}},
                    {"a": {"conn_type": "x", "port": 2**31}},
                    {"a": {"conn_type": "x", "port": True}},
                ),
                *({"a": {"conn_type": "x", "extra": "[]"}}, {"a": {"conn_type": "x", "extra": SECRET}}),
                *(
                    {"a": {"conn_type": "x", "extra": "{}", "extra_dejson": {}}},
                    {"a": {"conn_type": "x", "login": 1}},
                ),
                *(
                    {"a": {"uri": "http://h", "host": "h"}},
                    {"a": {"conn_type": "x", "conn_id": "b"}},
                    {"a": f"x://h:{SECRET}"},
                ),
                *(
                    {"a": f"x://a://b://{SECRET}"},
                    {"a": {"conn_type": "x" * 501}},
                    {"a": {"conn_type": "x", "team_name": "t"}},
                ),
                *(
                    {"a": {"conn_type": "x", "description": "d" * 5001}},
                    {"a": f'{{"host": "{SECRET}'},
                    {"a": f"http://[{SECRET}"},
                ),
            ],
            "pools": [
                *(
                    {"a": {}},
                    {"a": 1},
                    {"a": "x"},
                    {"a": {"slots": -2}},
                    {"a": {"slots": True}},
                    {"a": {"slots": 1.0}},
                    {"": {"slots": 1}},
                ),
                *(
                    {"a": {"slots": 2**31}},
                    {"a": {"slots": 1, "include_deferred": 1}},
                    {"a": {"slots": 1, "description": 1}},
                ),
                *(
                    {"a": {"slots": 1, "team_name": "t"}},
                    {"a": {"slots": 1, "colour": 1}},
                    {"p" * 257: {"slots": 1}},
                ),
                {"default_pool": {"slots": 1, "description": "mine"}},
            ],
        }
        for noun, cases in wrong.items():
            good = ENTRIES[noun][0]
            for case in cases:
                answer = send(rest, noun, good | case, on_conflict="overwrite")
                assert kind(answer) == (400, "import-rejected"), (case, answer.text)
                assert len(answer.json()["errors"]) == 1
                assert SECRET not in answer.text
        assert stored() == filled

    def test_files_that_cannot_be_read_are_refused_without_a_word_of_them(self, rest, filled):
        for number, (name, content, status, problem) in enumerate(unreadable()):
            answer = send(rest, NOUNS[number % 3], content, name)
            assert kind(answer) == (status, problem), (name, content[:60], answer.text)
            assert SECRET not in answer.text
        assert stored() == filled

    def test_the_format_is_told_by_the_name_or_by_the_caller(self, rest):
        for number, name in enumerate(["A.JSON", "a.yml", "a.YAML", ".env", "prod.env"]):
            text = f"new_{number}=1" if name.endswith("env") else f'{{"new_{number}": "1"}}'
            assert actions(send(rest, "variables", text, name)) == {f"new_{number}": "created"}
        assert kind(send(rest, "variables", "x=1", "env")) == (400, "file-unreadable")
        assert actions(send(rest, "variables", '{"y": 1}', "a.txt")) == {"y": "created"}
        assert actions(send(rest, "variables", "x=1", "a.txt", format="env")) == {"x": "created"}

    def test_yaml_is_read_as_plain_data(self, rest):
        text = "base: &base {a: 1}\nmore: {<<: *base, b: 2}\nday: 2026-01-01\ntext: '0123'\nlist: [*base]\n"
        send(rest, "variables", text, "a.yaml")
        found = {key: value[0] for key, value in stored()["variables"].items()}
        assert (found["day"], found["text"]) == ("2026-01-01", "0123")
        assert json.loads(found["more"]) == {"a": 1, "b": 2}

    @pytest.mark.in_process
    def test_it_takes_the_right_to_create_or_to_overwrite_each(self, rest, filled, monkeypatch):
        for noun in NOUNS:
            entries, old, new = ENTRIES[noun]
            assert send(rest, noun, entries, role="viewer").status_code == 403
            with monkeypatch.context() as patched:
                nothing = NamedScope(frozenset(), everything=False)
                patched.setattr(AirflowPermissions, "named_scope", lambda *_, n=nothing: n)
                answer = send(rest, noun, entries, on_conflict="overwrite")
                assert (kind(answer), f"overwrite the {noun[:-1]} '{old}'" in answer.json()["detail"]) == (
                    (403, "import-denied"),
                    True,
                )
                assert actions(send(rest, noun, entries, on_conflict="skip", dry_run=True))[new] == "created"
                patched.setattr(AirflowPermissions, "may_named", lambda _, resource, name, *__: name is None)
                answer = send(rest, noun, entries, on_conflict="skip")
                assert (kind(answer), f"create the {noun[:-1]} '{new}'" in answer.json()["detail"]) == (
                    (403, "import-denied"),
                    True,
                )
        assert stored() == filled

    def test_with_a_key_it_happens_once(self, rest, filled):
        headers = {"Idempotency-Key": "import-once"}
        first, again = (send(rest, "variables", {"new": "1"}, headers=headers) for _ in range(2))
        assert (first.json(), again.json()) == (first.json(), first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        other = send(rest, "variables", {"new": "2"}, headers=headers)
        assert kind(other) == (422, "key-reused")

    @pytest.mark.parametrize(
        "noun", [*NOUNS, pytest.param("variables", marks=pytest.mark.postgres, id="variables-pg")]
    )
    def test_of_many_at_once_each_entry_is_created_once(self, rest, noun):
        wipe()
        entry = {"variables": "1", "connections": "http://h", "pools": {"slots": 1}}[noun]
        files = [{f"n{number}": entry for number in range(start, start + 30)} for start in (0, 5, 10, 15)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda content: actions(send(rest, noun, content, on_conflict="skip")), files)
            )
        created = sorted(name for answer in answers for name, action in answer.items() if action == "created")
        assert created == sorted({name for content in files for name in content})
        wipe()

    def test_the_audit_has_an_intent_and_an_outcome_and_of_a_dry_run_one_outcome(self, rest, filled):
        send(rest, "pools", {"new": {"slots": 1}}, dry_run=True)
        send(rest, "pools", {"new": {"slots": 1}})
        told = [(row["phase"], row.get("dry_run")) for row in rows(rest, "import_pools")]
        assert told == [("outcome", True), ("intent", None), ("outcome", None)]

    def test_the_default_pool_is_no_conflict_unless_it_differs(self, rest):
        text = export(rest, "pools").text
        answer = send(rest, "pools", {"default_pool": json.loads(text)["default_pool"]})
        assert actions(answer) == {"default_pool": "unchanged"}
        changed = {"default_pool": {**json.loads(text)["default_pool"], "slots": 5}}
        assert kind(send(rest, "pools", changed)) == (409, "already-there")
        assert actions(send(rest, "pools", changed, on_conflict="overwrite")) == {"default_pool": "updated"}


def unreadable():
    """Files, and how each is refused."""
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
    )
    no = (400, "file-unreadable")
    return [
        ("a.json", "", *no),
        ("a.json", "[]", *no),
        ("a.json", '{"a": ' + SECRET, *no),
        ("a.json", '{"a": 1, "a": 2}', *no),
        ("a.json", "[" * 100_000, *no),
        ("a.json", '{"a": ' + "9" * 5000 + "}", *no),
        ("a.json", b'{"a": "\xff"}', *no),
        ("a.json", '{"a": "x"}'.encode("utf-16"), *no),
        ("a.json", b'{"a": "\0"}', *no),
        ("a.json", " " * (4 * 1024 * 1024 + 1), 422, "file-too-large"),
        ("a.json", json.dumps(dict.fromkeys(map(str, range(20_001)))), 422, "file-too-large"),
        ("a.yaml", "", *no),
        ("a.yaml", "- a", *no),
        ("a.yaml", "a: 1\na: 2", *no),
        ("a.yaml", "1: a", *no),
        ("a.yaml", "a: [1", *no),
        ("a.yaml", f"a: !!python/object/apply:os.system ['echo {SECRET}']", *no),
        ("a.yaml", f"a: 1\n--- {SECRET}\nb: 1", *no),
        ("a.yaml", "a: " + "[" * 100_000, *no),
        ("a.yaml", "a: &a [*a]", *no),
        ("a.yaml", bomb, *no),
        ("a.yaml", merges, *no),
        ("a.yaml", "a: 1" + ":1" * 200_000, *no),
        ("a.yaml", "? [a]\n: 1", *no),
        ("a.env", SECRET, *no),
        ("a.env", f"={SECRET}", *no),
        ("a.env", "a=", *no),
        ("a.env", "a=1\na=2", *no),
    ]
