"""Security, over HTTP; what becomes of the tokens is in `tests/security`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import ClassVar

import jwt
import pytest

from airflow_rest_api.web import contract
from tests.conftest import in_process
from tests.support import calls, environment


@pytest.fixture
def build_whole(monkeypatch):
    """`build_whole(HTTP_TOKEN=…)`: a client of the whole application under other settings."""
    from airflow_rest_api.web.app import create_application

    def make(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__REST_API__{name}", value)
        return in_process(create_application())

    return make


def credentials(role, **more):
    return {"username": role, "password": environment.password_of(role), **more}


class TestLogin:
    @pytest.mark.parametrize("role", environment.ROLES)
    def test_the_token_is_its_users(self, rest, role):
        token = rest.post("/security/login", role=None, json=credentials(role)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        change = rest.patch("/dags/no_such_dag", role=None, headers=headers, json={"is_paused": True})
        assert change.status_code == (403 if role == "viewer" else 404)

    def test_the_answer_is_the_token_alone(self, rest):
        response = rest.post("/security/login", role=None, json=credentials("op"))
        assert (response.status_code, set(response.json())) == (200, {"access_token"})

    def test_a_wrong_password_is_refused(self, rest):
        response = rest.post("/security/login", role=None, json=credentials("op", password="wrong"))
        assert response.status_code == 401
        assert {**response.json(), "request_id": ""} == {
            "type": "urn:airflow-rest-api:problem:login-failed",
            "title": "Login failed",
            "status": 401,
            "detail": "The username or the password is wrong.",
            "instance": "/rest_api/v1/security/login",
            "request_id": "",
        }

    def test_a_stale_token_does_not_keep_one_from_logging_in(self, rest):
        headers = {"Authorization": "Bearer x.y.z"}
        assert (
            rest.post("/security/login", role=None, headers=headers, json=credentials("op")).status_code
            == 200
        )


class TestRefreshToken:
    def test_both_tokens_are_new(self, rest):
        first = rest.post("/security/login", role=None, json=credentials("op", refresh=True)).json()
        headers = {"Authorization": f"Bearer {first['refresh_token']}"}
        second = rest.post("/security/refresh", role=None, headers=headers)
        assert second.status_code == 200
        assert second.json().keys() == first.keys()
        assert not set(second.json().values()) & set(first.values())

    def test_the_token_in_the_body_wins(self, rest):
        first = rest.post("/security/login", role=None, json=credentials("op", refresh=True)).json()
        headers = {"Authorization": f"Bearer {first['access_token']}"}
        body = {"refresh_token": first["refresh_token"]}
        second = rest.post("/security/refresh", role=None, headers=headers, json=body)
        assert second.status_code == 200
        assert second.json().keys() == first.keys()

    @pytest.mark.parametrize(
        "authorization",
        # httpx sends no trailing space to a server.
        ["Basic b3A6b3A=", "Bearer", pytest.param("Bearer ", marks=pytest.mark.in_process)],
    )
    def test_another_authorization_is_refused(self, rest, authorization):
        response = rest.post("/security/refresh", role=None, headers={"Authorization": authorization})
        assert response.status_code == 401

    def test_an_unknown_token_is_refused(self, rest):
        response = rest.post("/security/refresh", role=None, json={"refresh_token": "unknown"})
        assert response.status_code == 401
        assert response.json()["type"].endswith(":invalid-refresh-token")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]

    def test_no_token_is_malformed(self, rest):
        assert rest.post("/security/refresh", role=None).status_code == 400


def bearer(rest, role, **more):
    """The header of a token of this service's own."""
    body = credentials(role, **more)
    token = rest.post("/security/login", role=None, json=body).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


class TestGetCurrentUser:
    def test_the_token_of_a_login_says_who_and_until_when(self, rest):
        response = rest.get("/security/me", role=None, headers=bearer(rest, "admin"))
        assert response.status_code == 200
        expires = datetime.fromisoformat(response.json().pop("expires_at").replace("Z", "+00:00"))
        left = expires - datetime.now(timezone.utc)
        assert timedelta(minutes=14) < left <= timedelta(minutes=15)
        assert {**response.json(), "expires_at": ""} == {
            "user_id": "admin",
            "username": "admin",
            "credential": "access_token",
            "credential_name": None,
            "expires_at": "",
            "auth_manager": "SimpleAuthManager",
            "roles": ["admin"],
            "powers": ["deploy", "files", "components", "test", "reveal"],
        }

    def test_airflows_own_token_has_an_end_too(self, rest, token):
        said = jwt.decode(token("viewer"), options={"verify_signature": False})
        response = rest.get("/security/me", role="viewer")
        ends = datetime.fromtimestamp(said["exp"], timezone.utc).isoformat().replace("+00:00", "Z")
        assert response.json() == {
            "user_id": "viewer",
            "username": "viewer",
            "credential": "airflow_token",
            "credential_name": None,
            "expires_at": ends,
            "auth_manager": "SimpleAuthManager",
            "roles": ["viewer"],
            "powers": [],
        }

    def test_a_user_without_a_role_is_somebody(self, rest):
        answer = rest.get("/security/me", role="nobody").json()
        assert (answer["roles"], answer["powers"]) == ([], [])

    @pytest.mark.in_process
    def test_a_header_token_is_told_by_its_name(self, build_whole):
        client = build_whole(HTTP_TOKEN="ci:op:header-token-value")
        headers = {"rest-api-plugin-http-token": "header-token-value"}
        assert client.get("/rest_api/v1/security/me", headers=headers).json() == {
            "user_id": "op",
            "username": "op",
            "credential": "header_token",
            "credential_name": "ci",
            "expires_at": None,
            "auth_manager": "SimpleAuthManager",
            "roles": ["op"],
            "powers": [],
        }


def review_of(document, call):
    """The review of a call made from the contract's examples."""
    given = {
        entry["name"]: calls.example_of(entry)
        for entry in contract.parameters(document, call.operation)
        if entry["in"] == "path" or (entry["in"] == "query" and entry.get("required"))
    }
    body = {"body": call.json} if isinstance(call.json, dict) else {}
    return {"operation_id": call.operation.operation_id, "arguments": given, **body}


class TestReviewAccess:
    def review(self, rest, role, *reviews):
        body = {"reviews": list(reviews)} if reviews else None
        response = rest.post("/security/accessReview", role=role, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def test_each_call_is_judged_as_it_would_be(self, rest):
        change = {"operation_id": "patch_dag", "arguments": {"dag_id": "etl"}, "body": {"is_paused": True}}
        read = {"operation_id": "get_dag", "arguments": {"dag_id": "etl"}}
        assert self.review(rest, "viewer", read, change) == {
            "user": "viewer",
            "reviews": [
                {
                    "operation_id": "get_dag",
                    "arguments": {"dag_id": "etl"},
                    "allowed": True,
                    "reason": None,
                    "depends_on_object": False,
                },
                {
                    "operation_id": "patch_dag",
                    "arguments": {"dag_id": "etl"},
                    "allowed": False,
                    "reason": "The user 'viewer' may not do this (PUT on the DAG 'etl').",
                    "depends_on_object": False,
                },
            ],
            "total_entries": 2,
        }

    @pytest.mark.parametrize("role", [*environment.ROLES, "nobody"])
    def test_every_operation_is_reviewed_without_a_body(self, rest, role):
        document = contract.load()
        answer = self.review(rest, role)
        operations = {operation.operation_id: operation for operation in contract.operations(document)}
        assert [entry["operation_id"] for entry in answer["reviews"]] == list(operations)
        assert answer["total_entries"] == len(operations)
        assert all(entry["arguments"] == {} for entry in answer["reviews"])
        for entry in answer["reviews"]:
            free = not operations[entry["operation_id"]].access
            assert entry["allowed"] or not free
            assert entry["allowed"] == (entry["reason"] is None)
            assert not (free and entry["depends_on_object"])

    def disagreements(self, rest, role):
        """The operations of which a review says another thing than the call itself.

        Whoever is let in may still be told 404 or 409; who is not gets 403, and nobody else does.
        """
        document = contract.load()
        for operation in contract.operations(document):
            if operation.anonymous or operation.operation_id == "logout":
                continue
            call = calls.plainest(document, operation)
            (entry,) = self.review(rest, role, review_of(document, call))["reviews"]
            status = rest.request(operation.method, call.path, role=role, **call.options()).status_code
            # An object that only the service finds can refuse what is permitted in general.
            if entry["allowed"] == (status == 403) and not (entry["allowed"] and entry["depends_on_object"]):
                yield operation.operation_id

    @pytest.mark.slow
    @pytest.mark.parametrize("role", [*environment.ROLES, "nobody"])
    @pytest.mark.usefixtures("restored_database")
    def test_the_answer_is_what_the_call_gets(self, rest, role):
        assert list(self.disagreements(rest, role)) == []

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_a_review_that_asks_nobody_is_seen(self, rest, monkeypatch):
        """The negative control."""
        monkeypatch.setattr("airflow_rest_api.security.reviews._refusal", lambda *_: None)
        assert {"patch_dag", "delete_dag_run"} <= set(self.disagreements(rest, "viewer"))

    def test_nothing_is_done_and_nothing_is_written_down(self, rest, scenario):
        from airflow.models.log import Log
        from airflow.utils.session import create_session
        from sqlalchemy import func, select

        def state():
            with create_session(scoped=False) as session:
                return session.scalar(select(func.count(Log.id))), rest.get("/dags/etl").json()["is_paused"]

        before = state()
        change = {
            "operation_id": "patch_dag",
            "arguments": {"dag_id": "etl"},
            "body": {"is_paused": not before[1]},
        }
        delete = {
            "operation_id": "delete_dag_run",
            "arguments": {"dag_id": scenario.failed.dag_id, "dag_run_id": scenario.failed.dag_run_id},
        }
        assert all(entry["allowed"] for entry in self.review(rest, "admin", change, delete)["reviews"])
        assert state() == before

    def test_a_missing_object_is_not_told_from_one_that_exists(self, rest):
        answers = [
            self.review(rest, role, {"operation_id": "patch_dag", "arguments": {"dag_id": dag_id}})
            for role in ("viewer", "op")
            for dag_id in ("etl", "gone")
        ]
        said = [str(answer).replace("gone", "etl") for answer in answers]
        assert (said[0], said[2]) == (said[1], said[3])

    @pytest.mark.parametrize(
        ("review", "depends"),
        [
            ({"operation_id": "get_dag"}, True),
            ({"operation_id": "get_dag", "arguments": {"dag_id": "etl"}}, False),
            ({"operation_id": "get_dags"}, False),
            ({"operation_id": "get_event_log", "arguments": {"event_log_id": 1}}, True),
            ({"operation_id": "bulk_dag_runs", "arguments": {"dag_id": "~"}}, True),
            ({"operation_id": "get_version"}, False),
        ],
    )
    def test_what_only_the_object_tells_is_left_open(self, rest, review, depends):
        (entry,) = self.review(rest, "admin", review)["reviews"]
        assert (entry["allowed"], entry["depends_on_object"]) == (True, depends)

    @pytest.mark.in_process
    def test_the_id_is_the_one_that_the_call_would_be_asked_about(self, rest, monkeypatch):
        from airflow_rest_api.security import auth_manager

        manager = type(auth_manager.manager())
        monkeypatch.setattr(manager, "is_authorized_dag", lambda self, *, details, **_: details.id == "etl")
        reviews = [
            {"operation_id": "get_dag", "arguments": {"dag_id": name}} for name in ("etl", "manual", "~", "")
        ]
        found = self.review(rest, "op", *reviews)["reviews"]
        assert [entry["allowed"] for entry in found] == [True, False, False, False]

    @pytest.mark.parametrize(
        ("review", "detail"),
        [
            ({"operation_id": "fly"}, "The contract has no operation 'fly'."),
            ({"operation_id": "run_api_call"}, "The contract has no operation 'run_api_call'."),
            (
                {"operation_id": "get_dag", "arguments": {"dag": "etl"}},
                "The operation 'get_dag' has no parameter 'dag'.",
            ),
        ],
    )
    def test_what_the_contract_does_not_have_is_refused_by_name(self, rest, review, detail):
        body = {"reviews": [{"operation_id": "get_dags"}, review]}
        response = rest.post("/security/accessReview", json=body)
        assert response.status_code == 400
        assert {**response.json(), "request_id": ""} == {
            "type": "urn:airflow-rest-api:problem:review-of-unknown",
            "title": "The review names something unknown",
            "status": 400,
            "detail": detail,
            "instance": "/rest_api/v1/security/accessReview",
            "request_id": "",
            "operation_id": review["operation_id"],
        }

    @pytest.mark.parametrize(
        "body",
        [
            {"reviews": []},
            {"reviews": [{"operation_id": "get_dags"}] * 101},
            {"reviews": [{}]},
            {"reviews": [{"operation_id": "get_dags", "dag_id": "etl"}]},
            {"reviews": [{"operation_id": "get_dags", "body": []}]},
            {"operations": []},
        ],
    )
    def test_another_shape_is_malformed(self, rest, body):
        assert rest.post("/security/accessReview", json=body).status_code == 400

    def test_a_hundred_are_reviewed_at_once(self, rest):
        answer = self.review(rest, "viewer", *[{"operation_id": "get_dags"}] * 100)
        assert answer["total_entries"] == 100


@pytest.mark.in_process
class TestReviewOfPowers:
    """Operations with a power are not in the contract yet; the review asks for them like a call does."""

    RULE: ClassVar = {"resource": "power", "power": "deploy", "method": "PUT", "switch": "deploy_enabled"}
    BODY: ClassVar = {"resource": "dag", "method": "PUT", "id_from": "body./dag_id"}

    def reviewed(self, role, review=None, on=()):
        from airflow_rest_api.security import access, auth_manager
        from airflow_rest_api.security.reviews import Reviewable, Reviews
        from airflow_rest_api.security.switches import Switches

        caller = access.caller_of(auth_manager.user_by_name(role), switches=Switches(frozenset(on)))
        reviews = Reviews([Reviewable("deploy_thing", (self.RULE, self.BODY), frozenset(), frozenset())])
        given = None if review is None else [{"operation_id": "deploy_thing", **review}]
        return reviews.review(caller, given)["reviews"][0]

    def test_the_switch_the_power_and_the_object_of_the_body(self, rest):
        on = ["deploy_enabled"]
        off = self.reviewed("admin")
        assert off["reason"].endswith("has not set [rest_api] deploy_enabled.")
        assert off["depends_on_object"]
        assert self.reviewed("op", on=on)["reason"].startswith("The user 'op' lacks the power 'deploy'")
        whole = self.reviewed("admin", {"body": {"dag_id": "etl"}}, on=on)
        assert (whole["allowed"], whole["depends_on_object"]) == (True, False)
