"""Old calls on connections, over HTTP: what the commands of Airflow 1 printed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from tabulate import tabulate

from tests.support.old_objects import DOOR, MASK, PASSWORD, TOKEN, WAREHOUSE, lines, rows_of
from tests.support.stored_objects import fill, stored

pytestmark = pytest.mark.usefixtures("restored_database")


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
            ({"conn_type": "http", "conn_id": "a/b"}, "The connection id 'a/b' is not allowed"),
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
