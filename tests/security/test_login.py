"""Login: who gets tokens, and what they are told who get none."""

from __future__ import annotations

import jwt
import pytest

from airflow_rest_api.security import auth_manager

ADMIN = {"username": "admin", "password": "admin-password"}


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


class TestLogin:
    def test_a_user_gets_an_access_token(self, rest):
        response = rest.post("/security/login", json=ADMIN, role=None)
        assert (response.status_code, list(response.json())) == (200, ["access_token"])
        assert response.headers["cache-control"] == "no-store"
        token = response.json()["access_token"]
        claims = claims_of(token)
        assert {"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "airflow_user"} <= claims.keys()
        assert (claims["iss"], claims["aud"], claims["sub"]) == (
            "airflow-rest-api",
            "airflow-rest-api",
            "admin",
        )
        assert claims["exp"] - claims["iat"] == 15 * 60
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}
        headers = {"Authorization": f"Bearer {token}"}
        assert rest.get("/dags", role=None, headers=headers).status_code == 200

    def test_a_refresh_token_is_given_when_asked_for(self, rest):
        answer = rest.post("/security/login", json={**ADMIN, "refresh": True}, role=None).json()
        assert answer.keys() == {"access_token", "refresh_token"}
        assert len(answer["refresh_token"]) == 43

    def test_who_is_wrong_is_not_told_about_what(self, rest):
        answers = []
        for given in (
            {**ADMIN, "password": "wrong"},
            {"username": "ghost", "password": "wrong"},
            {**ADMIN, "password": "admin-password "},
            {"username": "ADMIN", "password": "admin-password"},
        ):
            response = rest.post("/security/login", json=given, role=None)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            answers.append({**response.json(), "request_id": None})
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["detail"] == "The username or the password is wrong."

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"username": "admin"},
            {"username": "", "password": ""},
            {"username": "a" * 257, "password": "x"},
            {"username": "admin", "password": "x" * 1025},
            {"username": "admin\0", "password": "x"},
            {**ADMIN, "provider": "facebook"},
            {**ADMIN, "refresh": "yes"},
            {**ADMIN, "otp": "123456"},
            {"username": ["admin"], "password": {"a": 1}},
        ],
    )
    def test_a_login_of_another_shape_is_malformed(self, rest, body):
        assert rest.post("/security/login", json=body, role=None).status_code == 400

    def test_the_password_may_be_any_text(self, rest):
        for password in ("ß€😀", "\ufeff", "x" * 1024):
            given = {"username": "admin", "password": password}
            assert rest.post("/security/login", json=given, role=None).status_code == 401

    def test_nobody_logs_in_with_an_empty_password(self, rest, monkeypatch):
        manager = type(auth_manager.manager())
        monkeypatch.setattr(manager, "get_passwords", staticmethod(lambda: {"admin": ""}))
        with pytest.raises(auth_manager.LoginFailed):
            auth_manager.log_in("admin", "", "db")

    def test_with_everybody_an_admin_anybody_logs_in(self, rest, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        user = auth_manager.log_in("anybody", "anything", "db")
        assert (user.get_name(), user.role) == ("Anonymous", "ADMIN")
        assert auth_manager.user_from_claims(auth_manager.claims_of(user)).get_name() == "Anonymous"

    def test_another_managers_login_is_its_own(self, rest, monkeypatch):
        class OtherManager:
            pass

        monkeypatch.setattr(auth_manager, "get_auth_manager", OtherManager)
        with pytest.raises(auth_manager.LoginNotSupported) as refusal:
            auth_manager.log_in("admin", "x", "db")
        assert "'OtherManager' has its own login" in refusal.value.detail
        assert auth_manager.user_by_name("admin") is None

    def test_the_old_address_answers_the_same(self, rest):
        response = rest.http.post("/api/v1/security/login", json={**ADMIN, "provider": "db", "refresh": True})
        assert response.json().keys() == {"access_token", "refresh_token"}
