"""The old login, over HTTP."""

from __future__ import annotations

import pytest

LOGIN = {"username": "op", "password": "op-password", "provider": "db"}


class TestLogin:
    @pytest.mark.parametrize(
        ("refresh", "names"),
        [(None, {"access_token"}), (False, {"access_token"}), (True, {"access_token", "refresh_token"})],
    )
    def test_the_tokens_are_good_for_version_1(self, rest, refresh, names):
        body = LOGIN if refresh is None else {**LOGIN, "refresh": refresh}
        answer = rest.http.post("/api/v1/security/login", json=body)
        assert (answer.status_code, set(answer.json())) == (200, names)
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert rest.get("/dags", role=None, headers=headers).status_code == 200

    def test_a_wrong_password_is_refused(self, rest):
        answer = rest.http.post("/api/v1/security/login", json={**LOGIN, "password": "wrong"})
        assert answer.status_code == 401
