"""The guard: what is no operation does not pass, what was refused is on record, and it trusts nobody inside."""

from __future__ import annotations

import pytest

from airflow_rest_api.security import refusals
from airflow_rest_api.services import errors
from airflow_rest_api.web import contract, guard
from airflow_rest_api.web.gate import Gate
from tests.web.small import operation, parameter
from tests.web.test_gate import phases, rows

GUARDED = {"security": [{"bearer": []}, {"httpToken": []}]}
CHANGE = [{"resource": "dag", "method": "PUT", "id_from": "path.dag_id"}]
NAME = {"type": "object", "additionalProperties": False, "properties": {"name": {"type": "string"}}}
PATHS = {
    "/dags/{dag_id}": {
        "patch": operation(
            "change_dag",
            parameters=[parameter("dag_id", "path", type="string"), parameter("number", type="integer")],
            body=NAME,
            required=False,
            **GUARDED,
            **{"x-airflow-access": CHANGE},
        ),
        "get": operation("read_dag", parameters=[parameter("dag_id", "path", type="string")], **GUARDED),
    },
    "/open": {"post": operation("open_thing", body=NAME)},
}


@pytest.fixture
def handlers():
    answers = dict.fromkeys(("change_dag", "read_dag", "open_thing"), lambda **_: {})
    return dict(answers)


@pytest.fixture
def call(build, handlers, token, restored_database):
    client = build(PATHS, handlers)

    def ask(method="PATCH", path="dags/etl", role="admin", **options):
        headers = {"Authorization": f"Bearer {token(role)}"} if role else {}
        return client.request(method, path, headers={**headers, **options.pop("headers", {})}, **options)

    return ask


def counted(event):
    return [(row["status"], row["count"]) for row in rows(event)]


@pytest.fixture
def at_once(monkeypatch):
    """Counts are written when the test says so: `at_once()`."""
    made = set()

    def remember(self):
        made.add(self)

    monkeypatch.setattr(refusals.Refusals, "_flush_soon", remember)
    return lambda: [counter.flush() for counter in made]


class TestWhatIsNoOperation:
    @pytest.mark.parametrize(
        "path",
        ["", "dags", "dags/", "dags/etl/", "dags/etl/more", "open/x", "../v2/dags", "dags/a%2Fb", "%64ags/"],
    )
    def test_it_is_not_found_whoever_asks(self, call, path):
        for role in (None, "admin"):
            assert call("PATCH", f"nowhere/{path}", role=role).status_code == 404

    def test_a_method_that_is_not_served_names_those_that_are(self, call):
        answer = call("DELETE")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PATCH")


class TestRefusedChanges:
    """What is refused before it begins has one outcome, whichever layer refused it."""

    @pytest.mark.parametrize(
        ("options", "status"),
        [
            ({"json": {"nome": 1}}, 400),
            ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
            ({"params": {"number": "x"}}, 400),
            ({"params": {"unknown": "x"}}, 400),
            ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
            ({"content": b"x" * 5_000_000, "headers": {"content-type": "application/json"}}, 413),
            ({"role": "viewer"}, 403),
        ],
        ids=str,
    )
    def test_a_known_caller_leaves_an_outcome(self, call, options, status):
        assert call(**options).status_code == status
        (row,) = rows("change_dag")
        assert (row["phase"], row["status"]) == ("outcome", status)
        assert row["owner"][0] == options.get("role", "admin")
        assert row["ids"][0] == "etl"

    def test_what_only_reads_leaves_none(self, call):
        assert call("GET", role=None).status_code == 401
        assert call("GET", params={"x": 1}).status_code == 400
        assert rows("read_dag") == []

    def test_callers_whom_nobody_knows_are_counted(self, call, at_once):
        for _ in range(5):
            assert call(role=None).status_code == 401
            assert call(headers={"Authorization": "Bearer x"}).status_code == 401
        assert counted("change_dag") == [(401, 1)]
        at_once()
        assert counted("change_dag") == [(401, 10)]
        (row,) = rows("change_dag")
        assert (row["phase"], row["network"], row["owner"]) == ("outcome", "testclient", (None, None))

    def test_an_open_operation_counts_what_it_refuses(self, call, at_once):
        for _ in range(3):
            assert call("POST", "open", role=None, json={"nome": 1}).status_code == 400
        at_once()
        assert counted("open_thing") == [(400, 3)]

    def test_every_minute_has_a_row_of_its_own_and_none_is_lost(self, call, at_once, monkeypatch):
        minute = refusals._minute()
        for number in range(2):
            monkeypatch.setattr(refusals, "_minute", lambda number=number: minute.replace(year=2030 + number))
            for _ in range(3):
                call(role=None)
        at_once()
        assert counted("change_dag") == [(401, 3), (401, 3)]

    def test_a_count_is_written_within_a_second_or_two(self, call):
        import time

        for _ in range(4):
            call(role=None)
        deadline = time.monotonic() + 10
        while counted("change_dag") != [(401, 4)] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert counted("change_dag") == [(401, 4)]

    def test_a_count_that_cannot_be_written_changes_no_answer(self, call, monkeypatch):
        def refuse(_):
            raise errors.DatabaseUnavailable

        monkeypatch.setattr(refusals, "write", refuse)
        assert call(role=None).status_code == 401
        assert rows("change_dag") == []

    def test_a_refusal_of_the_handler_has_both_rows(self, build, handlers, token, restored_database):
        def missing(**_):
            raise errors.DagNotFound("etl")

        client = build(PATHS, {**handlers, "change_dag": missing})
        headers = {"Authorization": f"Bearer {token('admin')}"}
        assert client.patch("dags/etl", headers=headers).status_code == 404
        assert phases("change_dag") == [("intent", None), ("outcome", 404)]


class TestTheGuardItself:
    """With a layer inside taken away, the guard still lets no answer out."""

    def test_without_the_gate_nothing_is_answered(self, build, handlers, token, monkeypatch):
        monkeypatch.setattr(Gate, "admit", lambda *_: None)
        client = build(PATHS, handlers)
        headers = {"Authorization": f"Bearer {token('admin')}"}
        assert client.get("dags/etl", headers=headers).status_code == 500
        assert client.post("open", json={}).status_code == 200

    def test_without_connexions_security_nobody_passes(self, build, handlers, token, monkeypatch):
        from airflow_rest_api.web import app

        monkeypatch.setattr(app, "_STACK", app._STACK[1:])
        client = build(PATHS, handlers)
        headers = {"Authorization": f"Bearer {token('admin')}"}
        assert client.get("dags/etl", headers=headers).status_code == 401

    def test_nothing_comes_past_it(self, build, handlers, monkeypatch):
        async def straight(self, scope, receive, send):
            await self._application(scope, receive, send)

        monkeypatch.setattr(guard.Guard, "__call__", straight)
        client = build(PATHS, handlers)
        assert client.get("dags/etl").status_code == 500


class TestEveryRoute:
    """Spec, routes and policy are one."""

    @pytest.mark.parametrize("name", contract.BASE_PATHS)
    def test_every_operation_has_a_policy(self, name):
        for one in contract.operations(contract.load(name)):
            assert one.access is not None, one.operation_id

    def test_only_these_ask_for_no_caller(self):
        open_to_all = {
            one.operation_id
            for name in contract.BASE_PATHS
            for one in contract.operations(contract.load(name))
            if one.anonymous
        }
        assert open_to_all == {
            "login",
            "refresh_token",
            "refresh",
            "get_version",
            "get_health",
            "get_liveness",
            "get_readiness",
        }

    def test_the_routes_are_those_of_the_contracts(self, rest):
        found = find_guard(rest.http.app)
        declared = {
            (contract.BASE_PATHS[name], one.operation_id)
            for name in contract.BASE_PATHS
            for one in contract.operations(contract.load(name))
        }
        assert set(found._operations) == declared
        routed = {
            (address.base, operation_id)
            for addresses in found._table._by_length.values()
            for address in addresses
            for operation_id in address.operations.values()
        }
        assert (
            routed
            | {
                (address.base, operation_id)
                for address in found._table._open_ended
                for operation_id in address.operations.values()
            }
            == declared
        )

    def test_flask_knows_no_route_beside_them(self, rest):
        """Connexion registers one for each operation, and Flask one for files, which the guard never asks for."""
        found = find_guard(rest.http.app)
        paths = {path for path, _ in found._operations}
        assert paths == {"/v1", "/api", "/security"}
        for path in ("/static/x", "/v1/static/x", "/rest_api/static/x", "/rest_api/v1/openapi.py"):
            assert rest.http.get(path).status_code == 404


def find_guard(application):
    """The guard in the layers of an application."""
    inner = application
    while not isinstance(inner, guard.Guard):
        inner = inner._application
    return inner
