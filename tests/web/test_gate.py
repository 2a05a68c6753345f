"""The gate: permission before the handler, and one row before and one after every change."""

from __future__ import annotations

import json

import pytest

from airflow_rest_api.security import audit as audit_module
from airflow_rest_api.services import errors
from airflow_rest_api.web import unread_bodies
from tests.web import small
from tests.web.small import operation, parameter

GUARDED = {"security": [{"bearer": []}, {"httpToken": []}]}
CHANGE = [{"resource": "dag", "access_entity": "RUN", "method": "PUT", "id_from": "path.dag_id"}]
IDS = [
    parameter("dag_id", "path", type="string"),
    parameter("dag_run_id", "path", type="string"),
    parameter("task_id", "path", type="string"),
    parameter("map_index", "path", type="integer"),
]
PATH = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}"
RULE = {**GUARDED, "x-airflow-access": CHANGE}
PATHS = {
    PATH: {
        "patch": operation("change_thing", parameters=IDS, body={"type": "object"}, required=False, **RULE),
        "post": operation("list_things", parameters=IDS, **RULE, **{"x-read-only": True}),
        "get": operation("get_thing", parameters=IDS, **RULE),
    },
    "/open": {"post": operation("open_thing")},
    "/told": {
        "get": operation(
            "tell_thing",
            parameters=[parameter("secrets", type="boolean")],
            **GUARDED,
            **{"x-audited-when": "secrets", "x-airflow-access": [{"resource": "pool", "method": "GET"}]},
        )
    },
    "/files/{root}": {
        "put": operation(
            "put_file",
            parameters=[parameter("root", "path", type="string")],
            body={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    **{name: {"type": "string"} for name in ("path", "root", "message")},
                },
            },
            takes="multipart/form-data",
            **GUARDED,
        )
    },
}
ADDRESS = "dags/etl/dagRuns/r1/taskInstances/t1/3"


def rows(event):
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        found = session.scalars(select(Log).where(Log.event == event).order_by(Log.id)).all()
        return [
            {
                "ids": (row.dag_id, row.run_id, row.task_id, row.map_index),
                "owner": (row.owner, row.owner_display_name),
                **json.loads(row.extra),
            }
            for row in found
        ]


def phases(event):
    return [(row["phase"], row.get("status")) for row in rows(event)]


@pytest.fixture
def called():
    return []


@pytest.fixture
def gate(build, called, token, restored_database):
    faults = []

    def change_thing(**arguments):
        called.append(arguments)
        if faults:
            raise faults[0]
        return {}

    others = ("list_things", "get_thing", "open_thing", "put_file", "tell_thing")
    read = dict.fromkeys(others, lambda **_: {})
    client = build(PATHS, {"change_thing": change_thing, **read})

    def ask(method="PATCH", address=ADDRESS, role="admin", **options):
        headers = {"X-Request-Id": "trace", **({"Authorization": f"Bearer {token(role)}"} if role else {})}
        return client.request(method, address, headers=headers, **options)

    ask.faults = faults
    ask.client = client
    return ask


class TestReadsThatAreRecorded:
    def test_a_read_is_recorded_like_a_change_with_what_the_contract_names(self, gate):
        for query in ({}, {"secrets": "false"}):
            assert gate("GET", "told", params=query).status_code == 200
            assert gate("GET", "told", params=query, role="nobody").status_code == 403
        assert phases("tell_thing") == []
        assert gate("GET", "told", params={"secrets": "true"}).status_code == 200
        assert gate("GET", "told", params={"secrets": "true"}, role="nobody").status_code == 403
        assert phases("tell_thing") == [("intent", None), ("outcome", 200), ("outcome", 403)]

    def test_the_contract_names_a_parameter(self, build):
        from airflow_rest_api.web.app import StartError

        wrong = operation("tell_thing", **GUARDED, **{"x-audited-when": "secrets", "x-airflow-access": []})
        with pytest.raises(StartError, match="the x-audited-when of 'tell_thing' names no parameter"):
            build({"/told": {"get": wrong}}, {"tell_thing": dict})


class TestForms:
    def test_a_form_is_not_read_of_who_may_not_send_it(self, build, token, restored_database, monkeypatch):
        # What is discarded after the response is not read.
        monkeypatch.setattr(unread_bodies, "LINGER_BYTES", 0)
        rule = {"resource": "power", "power": "deploy", "method": "PUT"}
        fields = {"file": {"type": "string", "format": "binary"}}
        body = {"type": "object", "additionalProperties": False, "properties": fields}
        defined = operation(
            "put_file", body=body, takes="multipart/form-data", **{**GUARDED, "x-airflow-access": [rule]}
        )
        client = build({"/files": {"put": defined}}, {"put_file": lambda body: {}})
        read = []

        def pieces():
            for _ in range(100):
                read.append(1)
                yield b"x" * 1000

        def put(role):
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            headers["Authorization"] = f"Bearer {token(role)}"
            return client.put("files", content=pieces(), headers=headers).status_code

        assert put("viewer") == 403
        assert read == []
        assert put("admin") == 400
        assert len(read) > 1


class TestAudit:
    def test_a_change_has_a_row_before_and_one_after(self, gate, called):
        assert gate(json={"password": "hunter2"}).status_code == 200
        intent, outcome = rows("change_thing")
        common = {
            "ids": ("etl", "r1", "t1", 3),
            "owner": ("admin", "admin"),
            "request_id": "trace",
            "client": "testclient",
            "credential": "airflow_token",
            "token": intent["token"],
            "password": "***",
        }
        assert intent == {**common, "phase": "intent"}
        assert outcome.pop("milliseconds") >= 0
        assert outcome == {**common, "phase": "outcome", "status": 200}
        assert len(intent["token"]) == 16
        assert called == [
            {
                "dag_id": "etl",
                "dag_run_id": "r1",
                "task_id": "t1",
                "map_index": 3,
                "body": {"password": "hunter2"},
            }
        ]

    def test_a_change_of_a_file_names_it_and_tells_nothing_of_its_content(self, gate):
        fields = {"path": "a/" * 1000, "root": "other", "message": "why"}
        form = {"file": ("a.py", b"content"), **{name: (None, text) for name, text in fields.items()}}
        assert gate("PUT", "files/data", files=form).status_code == 200
        assert len(rows("put_file")) == 2
        for row in rows("put_file"):
            assert (row["root"], row["path"]) == ("data", ("a/" * 1000)[:1024])
            assert row["file"] == "a.py"
            assert not {"message", "body"} & row.keys()

    def test_a_refused_change_of_a_file_names_it(self, gate):
        assert gate("PUT", "files/data", files={"file": b"x", "no_such_field": b"x"}).status_code == 400
        (outcome,) = rows("put_file")
        assert (outcome["status"], outcome["root"]) == (400, "data")

    def test_the_intent_is_written_before_the_effect(self, build, token, restored_database):
        def change_thing(**_):
            assert [row["phase"] for row in rows("change_thing")] == ["intent"]
            return {}

        others = ("list_things", "get_thing", "open_thing", "put_file", "tell_thing")
        client = build(PATHS, {**dict.fromkeys(others, lambda **_: {}), "change_thing": change_thing})
        assert client.patch(ADDRESS, headers={"Authorization": f"Bearer {token('admin')}"}).status_code == 200

    def test_a_refused_change_has_an_outcome_alone(self, gate, called):
        assert gate(role="viewer").status_code == 403
        (outcome,) = rows("change_thing")
        assert (outcome["phase"], outcome["status"], outcome["owner"][0]) == ("outcome", 403, "viewer")
        assert called == []

    @pytest.mark.parametrize(
        ("fault", "status"),
        [(errors.DagNotFound("etl"), 404), (errors.AlreadyExists("No."), 409), (KeyError("x"), 500)],
    )
    def test_the_outcome_tells_how_it_ended(self, gate, fault, status):
        gate.faults.append(fault)
        assert gate().status_code == status
        assert phases("change_thing") == [("intent", None), ("outcome", status)]

    def test_all_dags_are_no_dag(self, gate):
        gate(address="dags/~/dagRuns/~/taskInstances/t/-1")
        assert rows("change_thing")[0]["ids"] == (None, None, "t", -1)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_what_only_reads_leaves_no_row(self, gate, method):
        assert gate(method).status_code == 200
        assert rows("get_thing") == rows("list_things") == []

    @pytest.mark.parametrize("fault", [errors.DatabaseUnavailable(), RuntimeError("disk full")])
    def test_nothing_is_changed_without_an_intent(self, gate, called, monkeypatch, fault):
        def refuse(_):
            raise fault

        monkeypatch.setattr(audit_module, "write", refuse)
        response = gate()
        assert response.status_code == 503
        assert response.json()["type"].endswith(":audit-unavailable")
        assert response.headers["retry-after"] == "2"
        assert "disk full" not in response.text
        assert called == []
        assert rows("change_thing") == []

    @pytest.mark.parametrize("fault", [errors.DatabaseUnavailable(), RuntimeError("disk full")])
    def test_an_outcome_that_is_lost_is_counted_and_changes_no_answer(
        self, gate, called, monkeypatch, fault, token
    ):
        write, written = audit_module.write, []

        def second_fails(work):
            written.append(work)
            if len(written) > 1:
                raise fault
            return write(work)

        monkeypatch.setattr(audit_module, "write", second_fails)
        lost = []
        monkeypatch.setattr(audit_module.log, "exception", lambda *told: lost.append(told))
        assert gate().status_code == 200
        assert len(called) == len(lost) == 1
        assert [row["phase"] for row in rows("change_thing")] == ["intent"]

    def test_lost_outcomes_are_in_the_metrics(self, rest, monkeypatch, restored_database):
        def lost():
            text = rest.get("/metrics").text
            return float(text.split("\nairflow_rest_api_audit_outcomes_lost_total ")[1].split()[0])

        before, write, written = lost(), audit_module.write, []

        def second_fails(work):
            written.append(work)
            if len(written) > 1:
                raise errors.DatabaseUnavailable
            return write(work)

        monkeypatch.setattr(audit_module, "write", second_fails)
        assert rest.patch("/dags/manual", json={"is_paused": False}).status_code == 200
        assert lost() == before + 1

    def test_a_change_that_needs_no_caller_is_written_down_too(self, gate):
        assert gate("POST", "open", role=None).status_code == 200
        assert [(row["phase"], row["owner"]) for row in rows("open_thing")] == [
            ("intent", (None, None)),
            ("outcome", (None, None)),
        ]

    def test_the_password_of_a_login_is_nowhere(self, rest, restored_database):
        rest.post("/security/login", json={"username": "admin", "password": "admin-password"}, role=None)
        found = rows("login")[-2:]
        assert [row["phase"] for row in found] == ["intent", "outcome"]
        assert [row["owner"] for row in found] == [("admin", "admin")] * 2
        assert "admin-password" not in str(found)

    def test_a_login_that_the_database_refuses_is_counted(self, rest, monkeypatch, restored_database):
        def refuse(*_):
            raise errors.DatabaseUnavailable

        monkeypatch.setattr("airflow_rest_api.security.auth_manager.log_in", refuse)
        before = rows("login")
        body = {"username": "admin", "password": "admin-password"}
        assert rest.post("/security/login", json=body, role=None).status_code == 503
        (left,) = rows("login")[len(before) :]
        assert (left["phase"], left["status"], left["count"], left["owner"]) == (
            "outcome",
            503,
            1,
            (None, None),
        )

    def test_no_token_is_handed_out_unwritten(self, rest, monkeypatch):
        def refuse(_):
            raise errors.DatabaseUnavailable

        monkeypatch.setattr(audit_module, "write", refuse)
        body = {"username": "admin", "password": "admin-password"}
        answer = rest.post("/security/login", json=body, role=None)
        assert answer.status_code == 503
        assert "access_token" not in answer.text


class TestGate:
    def test_no_handler_runs_without_a_caller(self, gate, called):
        assert gate(role=None).status_code == 401
        assert called == []

    def test_the_gate_holds_by_itself(self):
        """Behind Connexion's security nobody comes without a caller; the gate does not rely on it."""
        from airflow_rest_api.web import contract, gate
        from airflow_rest_api.web.exchange import Exchange

        (operation,) = contract.operations(
            small.document({"/a": {"get": small.operation("get_a", **GUARDED)}})
        )
        with pytest.raises(errors.Unauthenticated):
            gate.Gate(None).admit(operation, Exchange("id", "/"))
