"""Calls of the old plugins, over HTTP."""

from __future__ import annotations

import pytest


class TestVersion:
    @pytest.mark.parametrize("address", ["/rest_api/api", "/admin/rest_api/api"])
    def test_it_is_in_the_envelope_of_the_old_plugin(self, rest, token, address):
        headers = {"Authorization": f"Bearer {token('viewer')}"}
        answer = rest.http.get(f"{address}?api=version", headers=headers)
        assert answer.status_code == 200
        version = rest.get("/version").json()["version"]
        times = {name: answer.json()[name] for name in ("call_time", "response_time")}
        assert all(time.endswith("GMT") for time in times.values())
        assert answer.json() == {
            "arguments": {"api": "version"},
            "post_arguments": {},
            **times,
            "http_response_code": 200,
            "output": version,
            "status": "OK",
        }

    def test_it_has_an_address_of_its_own(self, rest, token):
        headers = {"Authorization": f"Bearer {token('viewer')}"}
        assert rest.http.get("/rest_api/api/version", headers=headers).json()["status"] == "OK"

    def test_it_is_for_callers_alone(self, rest):
        assert rest.http.get("/rest_api/api?api=version").status_code == 401
