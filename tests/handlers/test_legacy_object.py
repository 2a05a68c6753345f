"""Old calls on variables, connections and pools, over HTTP: what the commands of Airflow 1 printed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from tabulate import tabulate

from airflow_rest_api.security import access, powers
from airflow_rest_api.security.access import AirflowPermissions
from airflow_rest_api.services import errors, masks
from airflow_rest_api.services.caller import NamedScope
from tests.support.stored_objects import fill, stored

pytestmark = pytest.mark.usefixtures("restored_database")

DOOR = "clairvoyant"
MASK = "***"
# Not those of the session itself, which are looked for everywhere.
PASSWORD, TOKEN = "horse-battery-staple", "stapled-battery"
WAREHOUSE = f"postgresql://ada:{PASSWORD}@warehouse.example.com:5432/orders"


@pytest.fixture
def said(old):
    """`said("variables", {...})`: what a call that was carried out printed, as (stdout, stderr)."""

    def ask(name, query=None, **more):
        output = enveloped(old(DOOR, name, query, **more), 200, "OK")["output"]
        assert output["stdin"] == ""
        return output["stdout"], output["stderr"]

    return ask


@pytest.fixture
def refused(old):
    """`refused("variables", {...}, role="viewer")`: the sentence of a call that was denied."""

    return lambda name, query=None, **more: enveloped(old(DOOR, name, query, **more), 403, "ERROR")["output"]


def enveloped(answer, code, status):
    """The envelope of an answer with this status."""
    envelope = answer.json()
    assert (answer.status_code, envelope["http_response_code"], envelope["status"]) == (code, code, status)
    assert ("airflow_cmd" in envelope) == (status == "OK")
    return envelope


@pytest.fixture
def only(monkeypatch):
    """`only("a", "b")`: the caller may read these alone."""

    def scope(*names):
        monkeypatch.setattr(AirflowPermissions, "named_scope", lambda *_: NamedScope(frozenset(names), False))

    return scope


@pytest.fixture
def denying(monkeypatch):
    """`denying("variable", "PUT")`: the caller may do all but this."""
    really = access.AirflowPermissions.may_named

    def deny(*denied):
        def may(self, resource, object_id, method, team=None):
            return (resource, method) not in denied and really(self, resource, object_id, method, team)

        monkeypatch.setattr(access.AirflowPermissions, "may_named", may)

    return deny


def lines(*sentences):
    return "".join(f"\n\t{sentence}\n\n" for sentence in sentences)


def rows_of(table):
    """The cells of a table that was drawn."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if "│" in line
    ]


USAGE = "airflow {}: error: argument -s/--set: expected {} arguments\n"


class TestVariables:
    def test_without_arguments_all_keys_are_printed_as_they_were_made(self, old, said):
        fill(variables={"zebra": ("1", None), "apple": ("2", None)})
        told = old(DOOR, "variables").json()
        assert told["output"] == {"stdout": "zebra\napple\n", "stderr": "", "stdin": ""}
        assert told["airflow_cmd"] == "airflow variables"
        # What means something beside `get` alone.
        assert said("variables", {"json": "on", "default": "x", "cmd": "get", "key": "zebra"}) == (
            "zebra\napple\n",
            "",
        )
        fill()
        assert said("variables") == ("\n", "")

    @pytest.mark.in_process
    def test_a_list_holds_what_the_caller_may_read(self, said, only):
        fill(variables={"mine": ("1", None), "theirs": ("2", None)})
        only("mine")
        assert said("variables") == ("mine\n", "")

    @pytest.mark.parametrize(
        ("value", "as_json"),
        [
            ("eu-west-1", "Expecting value: line 1 column 1 (char 0)"),
            ("1.10", "1.1"),
            ('{"a":  1, "b": [true, null]}', "{'a': 1, 'b': [True, None]}"),
            ('["[x]"]', "['[x]']"),
            ('"text"', "text"),
            (" two\nlines ", "Expecting value: line 1 column 2 (char 1)"),
        ],
        ids=["text", "version", "object", "list", "json-text", "lines"],
    )
    def test_a_value_is_told_letter_for_letter_or_as_python_has_it(self, said, value, as_json):
        fill(variables={"key": (value, None)})
        assert said("variables", {"get": "key"}) == (f"{value}\n", "")
        assert said("variables", {"get": "key", "json": "on"}) == (f"{as_json}\n", "")
        assert said("variables", form={"get": "key", "default": "x"}) == (f"{value}\n", "")

    def test_a_value_without_a_bottom_is_told_as_a_text_alone(self, said):
        fill(variables={"deep": ("[" * 100_000, None)})
        assert said("variables", {"get": "deep"}) == ("[" * 100_000 + "\n", "")
        stdout, stderr = said("variables", {"get": "deep", "json": "on"})
        assert (stdout, stderr) == ("", "RecursionError: maximum recursion depth exceeded")

    def test_an_unknown_key_is_an_error_of_the_command_or_has_a_default(self, old, said):
        told = old(DOOR, "variables", {"get": "no'where", "default": ""}).json()
        assert (told["output"]["stdout"], told["status"]) == ("", "OK")
        assert told["output"]["stderr"] == 'KeyError: "Variable no\'where does not exist"'
        assert said("variables", {"get": "nowhere", "default": "{}", "json": "on"}) == ("{}\n", "")

    @pytest.mark.in_process
    def test_a_value_is_the_one_that_dags_read(self, said, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_ONLY_HERE", "somewhere")
        assert said("variables", {"get": "only_here"}) == ("somewhere\n", "")
        assert "only_here" not in said("variables")[0].splitlines()

    def test_what_cannot_be_decrypted_is_said_to_be_so(self, said):
        with create_session(scoped=False) as session:
            session.add(row := Variable("broken", "1"))
            row._val = "no token"
        stdout, stderr = said("variables", {"get": "broken"})
        assert stdout == ""
        assert "cannot be decrypted" in stderr

    @pytest.mark.parametrize("where", ["query", "form", "mixed"])
    def test_a_variable_is_set_and_replaced(self, old, where):
        sent = {"cmd": "set", "key": f"k {uuid4().hex}", "value": "a & b=\n\u00fc"}
        query = {name: sent[name] for name in {"query": sent, "form": (), "mixed": ("cmd", "value")}[where]}
        form = None if where == "query" else {name: sent[name] for name in sent if name not in query}
        for _ in range(2):
            told = old(DOOR, "variables", query, form=form).json()
            assert told["output"] == {"stdout": "", "stderr": "", "stdin": ""}
            assert told["airflow_cmd"] == f"airflow variables --set {sent['key']} {sent['value']}"
            assert told["arguments"] == {"api": "variables", **query}
            assert told["post_arguments"] == (form or {})
            assert stored()["variables"][sent["key"]] == [sent["value"], None, True]

    @pytest.mark.parametrize(
        "query",
        [
            {"set": "key value"},
            {"set": "key value", "cmd": "set", "key": "key", "value": "value"},
            {"cmd": "set"},
            {"cmd": "set", "key": "key"},
            {"cmd": "set", "key": "key", "value": ""},
            {"cmd": "set", "value": "value", "get": "key", "delete": "kept"},
        ],
        ids=["direct", "both-ways", "nothing", "no-value", "empty", "no-key"],
    )
    def test_what_was_no_use_of_the_command_changes_nothing(self, said, query):
        fill(variables={"kept": ("1", None)})
        stdout, stderr = said("variables", query)
        assert stdout == ""
        assert stderr.startswith("usage: airflow variables [-h]")
        assert stderr.endswith(USAGE.format("variables", 2))
        assert list(stored()["variables"]) == ["kept"]

    def test_what_cannot_be_stored_is_refused(self, said):
        before = stored()["variables"]
        stdout, stderr = said("variables", form={"cmd": "set", "key": "k" * 251, "value": "1"})
        assert (stdout, stderr) == ("", "The key has more than 250 characters.")
        assert MASK in said("variables", {"cmd": "set", "key": "new_password", "value": MASK})[1]
        assert stored()["variables"] == before

    def test_no_secret_is_shown_and_no_mask_stored(self, old):
        secret = json.dumps({"user": "ada", "token": TOKEN})
        for key, value, shown in (
            ("db_password", PASSWORD, MASK),
            ("settings", secret, secret.replace(TOKEN, MASK)),
        ):
            for query, form in (
                ({"cmd": "set", "key": key, "value": value}, None),
                ({"cmd": "set"}, {"key": key, "value": value}),
                ({"cmd": "set", "key": key, "value": value}, {"value": value}),
                ({"cmd": "set", "key": key, "value": shown}, None),
                ({"set": f"{key} {value}"}, None),
                ({"get": key}, None),
                ({"get": key, "json": "on"}, None),
                ({"cmd": "set", "value": value}, None),
            ):
                answer = old(DOOR, "variables", query, form=form)
                assert answer.status_code == 200
                assert PASSWORD not in answer.text
                assert TOKEN not in answer.text
                told = answer.json()
                if "key" in query and "value" in query:
                    assert told["airflow_cmd"] == f"airflow variables --set {key} {shown}"
                if query == {"get": key}:
                    assert told["output"]["stdout"] == f"{shown}\n"
            assert stored()["variables"][key][0] == value

    def test_a_variable_is_deleted_and_an_unknown_one_too(self, old, said):
        fill(variables={"key": ("1", None)})
        told = old(DOOR, "variables", {"delete": "key"}).json()
        assert told["output"] == {"stdout": "", "stderr": "", "stdin": ""}
        assert told["airflow_cmd"] == "airflow variables --delete key"
        assert said("variables", {"delete": "key"}) == ("", "")
        assert stored()["variables"] == {}

    def test_several_things_are_done_in_the_order_of_the_command(self, said):
        fill(variables={"key": ("old", None)})
        sent = {"cmd": "set", "key": "key", "value": "new", "delete": "key", "get": "key"}
        assert said("variables", sent) == ("old\n", "")
        assert stored()["variables"] == {"key": ["new", None, True]}
        stdout, stderr = said("variables", {"get": "nowhere", "delete": "key"})
        assert (stdout, stderr) == ("", "KeyError: 'Variable nowhere does not exist'")
        assert list(stored()["variables"]) == ["key"]

    @pytest.mark.parametrize("role", ["viewer", "nobody"])
    def test_who_may_not_is_refused(self, refused, role):
        fill(variables={"key": ("1", None)})
        for query in (
            {},
            {"get": "key"},
            {"get": "nowhere", "default": "x"},
            {"delete": "key"},
            {"cmd": "set", "key": "key", "value": "2"},
        ):
            assert "may not" in refused("variables", query, role=role)
        for query in ({"import": "/etc/passwd"}, {"export": "/tmp/x"}):
            assert "files" in refused("variables", query, role=role)
        assert stored()["variables"] == {"key": ["1", None, True]}

    @pytest.mark.in_process
    def test_nothing_is_done_unless_all_of_it_may_be(self, refused, denying, root):
        fill(variables={"key": ("1", None)})
        everything = {
            "get": "key",
            "delete": "key",
            "cmd": "set",
            "key": "new",
            "value": "2",
            "import": str(root / "in.json"),
            "export": str(root / "out.json"),
        }
        (root / "in.json").write_text('{"imported": 1}')
        for method in ("GET", "PUT", "POST", "DELETE"):
            denying(("variable", method))
            assert method in refused("variables", everything)
        assert stored()["variables"] == {"key": ["1", None, True]}
        assert [path.name for path in root.iterdir()] == ["in.json"]

    @pytest.mark.in_process
    def test_no_echo_tells_a_secret_of_here_to_who_may_store_none(self, old):
        known, unknown = f"known-{uuid4().hex}", f"other-{uuid4().hex}"
        masks.learn([known])
        for sent in ({"set": "k {}"}, {"cmd": "set", "key": "k", "value": "{}"}, {"default": "{}"}):
            echoes = [
                old(
                    DOOR, "variables", {n: v.format(text) for n, v in sent.items()}, role="viewer"
                ).text.replace(text, "TEXT")
                for text in (known, unknown)
            ]
            assert [MASK in echo for echo in echoes] == ["default" not in sent] * 2


class TestVariableFiles:
    def test_what_is_exported_can_be_imported(self, old, said, root):
        path = str(root / "backup" / "variables.json")
        before = {"b": ("1.10", None), "a": ('{"x": [1]}', "Why"), "db_password": (PASSWORD, None)}
        fill(variables=before)
        told = old(DOOR, "variables", {"export": path}).json()
        stdout = f"3 variables successfully exported to {path}\n"
        assert told["output"] == {"stdout": stdout, "stderr": "", "stdin": ""}
        assert told["airflow_cmd"] == f"airflow variables --export {path}"
        text = (root / "backup" / "variables.json").read_text()
        exported = {"a": {"description": "Why", "value": {"x": [1]}}, "b": "1.10", "db_password": MASK}
        assert text == json.dumps(exported, indent=4, sort_keys=True)
        assert said("variables", form={"export": path})[0] == stdout
        with create_session(scoped=False) as session:
            session.query(Variable).filter_by(key="a").delete()
        assert said("variables", {"import": path}) == ("3 of 3 variables successfully updated.\n", "")
        assert {key: value[0] for key, value in stored()["variables"].items()} == {
            "a": json.dumps({"x": [1]}, indent=2),
            "b": "1.10",
            "db_password": PASSWORD,
        }

    @pytest.mark.parametrize(
        ("content", "stdout", "stderr"),
        [
            ("{}", "0 of 0 variables successfully updated.\n", ""),
            ('{"a": 1, "b": "x"}', "2 of 2 variables successfully updated.\n", ""),
            ("no json", "Invalid variables file.\n", "it is no JSON"),
            ("[1]", "Invalid variables file.\n", "it has to be an object"),
            ('{"a": 1, "new_password": "***"}', "", "/new_password: "),
            (f'{{"a": "{"x" * 4_200_000}"}}', "", "split it"),
        ],
        ids=["empty", "two", "text", "list", "mask", "large"],
    )
    def test_a_file_is_imported_as_a_whole_or_not_at_all(self, said, root, content, stdout, stderr):
        fill()
        (root / "variables.txt").write_text(content)
        printed, complaint = said("variables", {"import": str(root / "variables.txt")})
        assert printed == stdout
        assert stderr in complaint
        assert (not complaint) == (not stderr)
        assert len(stored()["variables"]) == (2 if '"b"' in content else 0)

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "variables.json",
            "{0}",
            "{0}x/a",
            "{0}/../cfg",
            "{0}/no/such",
            "{0}/link",
            "{0}/link/b",
            "\n",
        ],
    )
    def test_what_is_no_file_below_a_root_is_neither_read_nor_written(self, said, root, home, path):
        fill(variables={"kept": ("1", None)})
        (home / "elsewhere.json").write_text('{"stolen": 1}')
        (root / "link").symlink_to(home / "elsewhere.json")
        stdout, stderr = said("variables", {"import": path.format(root)})
        assert stdout in ("", "Missing variables file.\n")
        assert stderr
        if "no/such" not in path:
            stdout, stderr = said("variables", {"export": path.format(root)})
            assert stdout == ""
            assert stderr
        assert list(stored()["variables"]) == ["kept"]
        assert (home / "elsewhere.json").read_text() == '{"stolen": 1}'
        assert sorted(entry.name for entry in root.iterdir()) == ["link"]

    def test_the_old_errors_are_kept(self, said, root):
        missing = "Missing variables file.\n"
        for path in (root / "nowhere.json", "/nowhere.json"):
            assert said("variables", {"import": str(path)})[0] == missing
        stderr = said("variables", {"export": "/nowhere.json"})[1]
        assert stderr.startswith("PermissionError: [Errno 13] Permission denied: '/nowhere.json'\n")

    @pytest.mark.in_process
    def test_the_powers_of_files_are_needed(self, refused, monkeypatch, root):
        (root / "in.json").write_text('{"imported": 1}')
        granted = powers.granted
        monkeypatch.setattr(powers, "granted", lambda user, power: power != "files" and granted(user, power))
        for path in (str(root / "in.json"), "/etc/passwd"):
            assert "files" in refused("variables", {"import": path})
            assert "files" in refused("variables", {"export": path})
        assert (root / "in.json").read_text() == '{"imported": 1}'

    @pytest.mark.in_process
    def test_without_upload_roots_the_switch_is_named(self, refused, monkeypatch):
        def off(self, name):
            raise errors.Denied(f"'{name}' is off.")

        monkeypatch.setattr(AirflowPermissions, "require_switch", off)
        for argument in ("import", "export"):
            assert "upload_roots" in refused("variables", {argument: "/etc/passwd"})

    @pytest.mark.in_process
    def test_who_may_not_overwrite_imports_nothing(self, refused, monkeypatch, root):
        fill(variables={"there": ("1", None)})
        (root / "in.json").write_text('{"there": 2, "new": 3}')
        scope = AirflowPermissions.named_scope
        nothing = NamedScope(frozenset(), False)
        monkeypatch.setattr(
            AirflowPermissions,
            "named_scope",
            lambda self, word, method: nothing if method == "PUT" else scope(self, word, method),
        )
        assert "overwrite" in refused("variables", {"import": str(root / "in.json")})
        assert stored()["variables"] == {"there": ["1", None, True]}


INCOMPATIBLE = "The following args are not compatible with the"
CONNECTION_HEADINGS = [
    *("Conn Id", "Conn Type", "Host", "Port", "Is Encrypted", "Is Extra Encrypted", "Extra"),
]


class TestConnections:
    def test_a_list_is_the_table_of_the_command(self, old):
        extra = json.dumps({"api_key": TOKEN})
        fill(
            connections={
                "warehouse": {"conn_type": "postgres", "host": "w" * 40, "port": 5432, "password": PASSWORD},
                "api": {"conn_type": "http", "extra": extra},
            }
        )
        told = old(DOOR, "connections", {"list": ""}).json()
        cells = [
            ["'warehouse'", "'postgres'", f"'{'w' * 12}...{'w' * 13}'", "5432", "True", "False", "None"],
            ["'api'", "'http'", "None", "None", "False", "True", '\'{"api_key": "***"}\''],
        ]
        assert told["output"] == {
            "stdout": tabulate(cells, CONNECTION_HEADINGS, tablefmt="fancy_grid") + "\n",
            "stderr": "",
            "stdin": "",
        }
        assert rows_of(told["output"]["stdout"]) == [CONNECTION_HEADINGS, *cells]
        assert told["airflow_cmd"] == "airflow connections --list"

    @pytest.mark.in_process
    def test_a_list_holds_what_the_caller_may_read(self, said, only):
        fill(connections={name: {"conn_type": "http"} for name in ("mine", "theirs")})
        only("mine")
        table, _ = said("connections", {"list": "on"})
        assert [row[0] for row in rows_of(table)] == ["Conn Id", "'mine'"]
        only()
        assert rows_of(said("connections", {"list": "on"})[0]) == [CONNECTION_HEADINGS]

    @pytest.mark.parametrize(
        ("query", "sentences"),
        [
            (
                {"list": "on", "conn_extra": "{}", "conn_id": "a", "conn_uri": "http://h", "conn_type": "t"},
                [f"{INCOMPATIBLE} --list flag: ['conn_id', 'conn_uri', 'conn_extra', 'conn_type']"],
            ),
            (
                {"delete": "on", "conn_id": "kept", "conn_uri": "http://h"},
                [f"{INCOMPATIBLE} --delete flag: ['conn_uri']"],
            ),
            (
                {"delete": "on"},
                ["To delete a connection, you Must provide a value for the --conn_id flag."],
            ),
            (
                {"delete": "on", "add": "on", "conn_id": "none"},
                ["Did not find a connection with `conn_id`=none"],
            ),
            (
                {"add": "on"},
                ["The following args are required to add a connection: ['conn_id', 'conn_uri or conn_type']"],
            ),
            (
                {"add": "on", "conn_uri": "http://h", "conn_type": "http"},
                [
                    "The following args are required to add a connection: ['conn_id']",
                    f"{INCOMPATIBLE} --add flag and --conn_uri flag: ['conn_type']",
                ],
            ),
            (
                {"add": "on", "conn_id": "kept", "conn_uri": "http://h"},
                ["A connection with `conn_id`=kept already exists"],
            ),
            ({}, []),
            ({"conn_id": "new", "conn_uri": "http://h"}, []),
        ],
        ids=[
            "list",
            "delete",
            "delete-what",
            "unknown",
            "add-what",
            "add-both",
            "exists",
            "nothing",
            "no-flag",
        ],
    )
    def test_what_stood_in_the_way_is_said_as_it_was(self, said, query, sentences):
        fill(connections={"kept": {"conn_type": "http"}})
        for sent in ({"query": query}, {"form": query}):
            assert said("connections", **sent) == (lines(*sentences), "")
        assert list(stored()["connections"]) == ["kept"]

    @pytest.mark.parametrize(
        ("sent", "fields", "shown"),
        [
            (
                {"conn_uri": WAREHOUSE},
                {
                    "conn_type": "postgres",
                    "host": "warehouse.example.com",
                    "port": 5432,
                    "login": "ada",
                    "password": PASSWORD,
                    "schema": "orders",
                },
                WAREHOUSE.replace(PASSWORD, MASK),
            ),
            (
                {"conn_uri": "http://h.example.com/?timeout=1", "conn_extra": '{"timeout": 10}'},
                {"conn_type": "http", "host": "h.example.com", "extra": '{"timeout": 10}'},
                "http://h.example.com/?timeout=1",
            ),
            (
                {"conn_type": "aws", "conn_extra": json.dumps({"api_key": TOKEN})},
                {"conn_type": "aws", "extra": json.dumps({"api_key": TOKEN})},
                "aws://:@:",
            ),
        ],
        ids=["uri", "uri-and-extra", "type"],
    )
    def test_a_connection_is_added_and_deleted(self, old, said, sent, fields, shown):
        name = f"new-{uuid4().hex[:8]}"
        answer = old(DOOR, "connections", {"add": "on"}, form={"conn_id": name, **sent})
        told = answer.json()
        assert told["output"]["stdout"] == lines(f"Successfully added `conn_id`={name} : {shown}")
        assert told["output"]["stderr"] == ""
        assert PASSWORD not in answer.text
        assert TOKEN not in answer.text
        found = stored()["connections"][name]
        assert {field: found[field] for field in fields} == fields
        assert said("connections", {"delete": "on", "conn_id": name}) == (
            lines(f"Successfully deleted `conn_id`={name}"),
            "",
        )
        assert name not in stored()["connections"]

    def test_the_command_and_the_arguments_are_told_without_secrets(self, old, rest):
        for flag in ("add", "list", "delete"):
            for query, form in (
                ({flag: "on", "conn_id": "w", "conn_uri": WAREHOUSE}, None),
                (
                    {flag: "on"},
                    {"conn_id": "w", "conn_uri": WAREHOUSE, "conn_extra": f'{{"token": "{TOKEN}"}}'},
                ),
                ({flag: "on", "conn_id": "w", "conn_uri": f"nonsense:{PASSWORD}"}, None),
                ({flag: "on", "conn_id": "w", "conn_type": "t", "conn_extra": f"token={TOKEN}"}, None),
            ):
                for role in ("admin", "viewer"):
                    answer = old(DOOR, "connections", query, form=form, role=role)
                    assert answer.status_code == (200 if role == "admin" else 403)
                    assert PASSWORD not in answer.text
                    assert TOKEN not in answer.text
        told = old(DOOR, "connections", {"add": "on", "conn_id": "w", "conn_uri": WAREHOUSE}).json()
        shown = WAREHOUSE.replace(PASSWORD, MASK)
        assert told["airflow_cmd"] == f"airflow connections --add --conn_id w --conn_uri {shown}"
        assert told["arguments"]["conn_uri"] == shown
        rows = rest.get("/eventLogs", params={"limit": 1000}).text
        assert "connections" in rows
        assert PASSWORD not in rows
        assert TOKEN not in rows

    def test_a_call_that_is_refused_before_echoes_no_secret_either(self, old):
        sent = {
            "conn_uri": WAREHOUSE,
            "conn_extra": TOKEN,
            "value": PASSWORD,
            "set": f"db_password {PASSWORD}",
            "task_params": TOKEN,
            "conn_password": PASSWORD,
        }
        for answer in (
            old(DOOR, None, sent),
            old(DOOR, "no_such", form=sent),
            old(DOOR, "pause", sent),
            old(DOOR, "connections", {**sent, "conn_id": "\0"}),
            old(DOOR, "variables", sent, headers={"Sec-Purpose": "prefetch"}),
            old(DOOR, "connections", {"list": "on", **sent}, role="nobody"),
        ):
            assert answer.json()["status"] == "ERROR"
            assert PASSWORD not in answer.text
            assert TOKEN not in answer.text

    @pytest.mark.parametrize(
        ("sent", "sentence"),
        [
            ({"conn_uri": "nonsense"}, "It is no URI of a connection."),
            ({"conn_uri": "pg://h:port/x"}, "It is no URI of a connection."),
            ({"conn_uri": f"pg://h?a={'[' * 50_000}"}, "It is no URI of a connection."),
            ({"conn_uri": "://h"}, "It has no `conn_type`."),
            ({"conn_type": "t" * 501}, "The conn_type has more than 500 characters."),
            ({"conn_type": "http", "conn_id": "a/b"}, "The id may have 1 to 200 letters"),
            ({"conn_type": "http", "conn_extra": "{'a': 1}"}, "JSON object"),
            ({"conn_uri": "pg://u:***@h"}, MASK),
            ({"conn_type": "http", "conn_extra": '{"token": "***"}'}, MASK),
        ],
        ids=["word", "port", "deep", "no-type", "long", "id", "extra", "mask", "mask-in-extra"],
    )
    def test_what_is_no_connection_is_not_stored(self, said, sent, sentence):
        before = stored()["connections"]
        stdout, stderr = said("connections", form={"add": "on", "conn_id": "new", **sent})
        assert stdout == ""
        assert sentence in stderr
        assert stored()["connections"] == before

    def test_of_two_at_once_one_is_added(self, said):
        sent = {"add": "on", "conn_id": "once", "conn_type": "http"}
        with ThreadPoolExecutor(4) as threads:
            printed = list(threads.map(lambda _: said("connections", sent)[0], range(4)))
        exists = lines("A connection with `conn_id`=once already exists")
        added = lines("Successfully added `conn_id`=once : http://:@:")
        assert sorted(printed) == sorted([exists, exists, exists, added])

    @pytest.mark.parametrize("role", ["viewer", "nobody"])
    def test_who_may_not_is_refused(self, refused, role):
        fill(connections={"kept": {"conn_type": "http"}})
        for query in (
            {},
            {"list": "on"},
            {"delete": "on", "conn_id": "kept"},
            {"delete": "on"},
            {"add": "on", "conn_id": "new", "conn_type": "http"},
        ):
            assert "may not" in refused("connections", query, role=role)
        assert list(stored()["connections"]) == ["kept"]


POOL_HEADINGS = ["Pool", "Slots", "Description"]


def table_of_pools(*rows):
    return tabulate(rows, POOL_HEADINGS, tablefmt="fancy_grid", disable_numparse=[0, 2]) + "\n"


class TestPool:
    def test_without_arguments_all_pools_are_a_table(self, old):
        fill(pools={"1e5": (-1, "Any number", False), "bare": (3, None, True)})
        told = old(DOOR, "pool", {"description": "ignored"}).json()
        rows = [("default_pool", 128, "Default pool"), ("1e5", -1, "Any number"), ("bare", 3, None)]
        assert told["output"] == {"stdout": table_of_pools(*rows), "stderr": "", "stdin": ""}
        assert rows_of(told["output"]["stdout"])[1:] == [
            ["default_pool", "128", "Default pool"],
            ["1e5", "-1", "Any number"],
            ["bare", "3", ""],
        ]

    @pytest.mark.in_process
    def test_a_list_holds_what_the_caller_may_read(self, said, only):
        fill(pools={"mine": (1, "", False)})
        only("mine")
        assert said("pool") == (table_of_pools(("mine", 1, "")), "")
        only()
        assert rows_of(said("pool")[0]) == [POOL_HEADINGS]

    def test_a_pool_is_told_and_an_unknown_one_not(self, old, said):
        fill(pools={"a pool/x": (4, "Reports", False)})
        told = old(DOOR, "pool", {"get": "a pool/x"}).json()
        assert told["output"]["stdout"] == table_of_pools(("a pool/x", 4, "Reports"))
        assert told["airflow_cmd"] == "airflow pool --get a pool/x"
        assert said("pool", form={"get": "x"}) == ("Pool 'x' doesn't exist\n", "")
        assert said("pool", {"get": " "}) == ("Pool name shouldn't be empty\n", "")

    @pytest.mark.parametrize("description", ["pool_description", "description"])
    def test_a_pool_is_set_and_replaced(self, old, description):
        for slots in ("4", "-1"):
            query = {"cmd": "set", "pool_name": "new pool", "slot_count": slots}
            told = old(DOOR, "pool", query, form={description: "For reports"}).json()
            table = table_of_pools(("new pool", int(slots), "For reports"))
            assert told["output"] == {"stdout": table, "stderr": "", "stdin": ""}
            assert told["airflow_cmd"] == f"airflow pool --set new pool {slots} For reports"
            assert stored()["pools"]["new pool"] == [int(slots), "For reports", False]

    @pytest.mark.parametrize(
        "query",
        [
            {"set": "p 1 d"},
            {"cmd": "set", "pool_name": "p", "slot_count": "1"},
            {"cmd": "set", "pool_name": "p", "slot_count": "1", "pool_description": ""},
            {"cmd": "set", "slot_count": "1", "description": "d"},
            {"cmd": "set", "get": "default_pool"},
        ],
        ids=["direct", "two", "empty", "no-name", "nothing"],
    )
    def test_what_was_no_use_of_the_command_changes_nothing(self, said, query):
        before = stored()["pools"]
        stdout, stderr = said("pool", query)
        assert stdout == ""
        assert stderr.startswith("usage: airflow pool [-h]")
        assert stderr.endswith(USAGE.format("pool", 3))
        assert stored()["pools"] == before

    @pytest.mark.parametrize(
        ("name", "slots", "stdout", "stderr"),
        [
            ("p", "many", "Bad value for `slots`: many\n", ""),
            ("p", "-2", "Bad value for `slots`: -2\n", ""),
            ("p", "2147483648", "Bad value for `slots`: 2147483648\n", ""),
            ("p", "1.0", "Bad value for `slots`: 1.0\n", ""),
            (" ", "1", "Pool name shouldn't be empty\n", ""),
            ("p" * 257, "1", "", "The name has more than 256 characters."),
            ("default_pool", "1", "", "Of 'default_pool' only"),
        ],
        ids=["word", "below", "above", "float", "blank", "long", "default"],
    )
    def test_what_is_no_pool_is_not_stored(self, said, name, slots, stdout, stderr):
        before = stored()["pools"]
        sent = {"cmd": "set", "pool_name": name, "slot_count": slots, "pool_description": "d"}
        printed, complaint = said("pool", form=sent)
        assert printed == stdout
        assert complaint.startswith(stderr)
        assert stored()["pools"] == before

    def test_a_long_description_does_not_widen_the_table_without_end(self, said):
        sent = {"cmd": "set", "pool_name": "p", "slot_count": "1", "pool_description": "d" * 60_000}
        assert said("pool", form=sent) == (table_of_pools(("p", 1, "d" * 1000 + "...")), "")
        assert stored()["pools"]["p"] == [1, "d" * 60_000, False]
        assert max(map(len, said("pool")[0].splitlines())) < 1100

    def test_the_slots_of_the_default_pool_can_be_set(self, said):
        sent = {"cmd": "set", "pool_name": "default_pool", "slot_count": "5", "description": "Default pool"}
        assert said("pool", sent) == (table_of_pools(("default_pool", 5, "Default pool")), "")

    def test_a_pool_is_deleted_but_not_the_default_one(self, said):
        fill(pools={"old": (1, "d", False)})
        assert said("pool", {"delete": "old"}) == (table_of_pools(("old", 1, "d")), "")
        assert said("pool", {"delete": "old"}) == ("Pool 'old' doesn't exist\n", "")
        assert said("pool", {"delete": "default_pool"}) == ("default_pool cannot be deleted\n", "")
        assert list(stored()["pools"]) == ["default_pool"]

    def test_of_get_set_and_delete_the_first_is_done(self, said):
        fill(pools={"a": (1, "d", False)})
        sent = {"cmd": "set", "pool_name": "a", "slot_count": "2", "description": "e", "delete": "a"}
        assert said("pool", {**sent, "get": "a"})[0] == table_of_pools(("a", 1, "d"))
        assert said("pool", sent)[0] == table_of_pools(("a", 2, "e"))
        assert stored()["pools"]["a"] == [2, "e", False]

    @pytest.mark.in_process
    def test_who_may_not_is_refused(self, refused, denying):
        fill(pools={"kept": (1, "d", False)})
        setting = {"cmd": "set", "pool_name": "kept", "slot_count": "2", "description": "e"}
        for query, method in (
            ({}, "GET"),
            ({"get": "kept"}, "GET"),
            (setting, "PUT"),
            ({**setting, "pool_name": "new"}, "POST"),
            ({"delete": "kept"}, "DELETE"),
            ({"delete": "kept"}, "GET"),
            ({"delete": "default_pool"}, "DELETE"),
        ):
            assert "may not" in refused("pool", query, role="nobody")
            denying(("pool", method))
            assert "may not" in refused("pool", query)
        assert stored()["pools"]["kept"] == [1, "d", False]
