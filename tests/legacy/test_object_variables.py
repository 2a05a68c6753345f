"""Old calls on variables, over HTTP: what the commands of Airflow 1 printed."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from airflow.models.variable import Variable
from airflow.utils.session import create_session

from airflow_rest_api.security import powers
from airflow_rest_api.security.access import AirflowPermissions
from airflow_rest_api.services import errors, masks
from airflow_rest_api.services.caller import NamedScope
from tests.support.old_objects import DOOR, MASK, PASSWORD, TOKEN, USAGE
from tests.support.stored_objects import fill, stored

pytestmark = pytest.mark.usefixtures("restored_database")


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
