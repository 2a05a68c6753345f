"""Security, over HTTP; what becomes of the tokens is in `tests/security`."""

from __future__ import annotations

import pytest

from tests.support import environment


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

    def test_an_unknown_token_is_refused(self, rest):
        response = rest.post("/security/refresh", role=None, json={"refresh_token": "unknown"})
        assert response.status_code == 401
        assert response.json()["type"].endswith(":invalid-refresh-token")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]

    def test_no_token_is_malformed(self, rest):
        assert rest.post("/security/refresh", role=None).status_code == 400
