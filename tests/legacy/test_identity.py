"""Who sends an old call: the header token is a gate, and the user of a bearer token acts."""

from __future__ import annotations

import base64
import json

import pytest

from airflow_rest_api.web import contract

pytestmark = pytest.mark.in_process

DAG = "example_bash_operator"
HEADER, TOKEN = "rest_api_plugin_http_token", "a-token-for-old-clients"
FAILED = ["call_time", "http_response_code", "output", "response_time", "status"]


@pytest.fixture
def guarded(old_with):
    return old_with(http_token=f"ci:viewer:{TOKEN}")


def assert_token_failed(answer):
    told = answer.json()
    assert answer.status_code == 403
    assert list(told) == FAILED
    assert (told["output"], told["status"]) == ("Token Authentication Failed", "ERROR")


class TestHeaderToken:
    def test_it_alone_acts_as_its_user(self, guarded):
        for name in (HEADER, HEADER.replace("_", "-"), HEADER.upper()):
            answer = guarded("clairvoyant", "version", role=None, headers={name: TOKEN})
            assert (answer.status_code, answer.json()["status"]) == (200, "OK")
        answer = guarded("clairvoyant", "pause", {"dag_id": DAG}, role=None, headers={HEADER: TOKEN})
        assert (answer.status_code, answer.json()["status"]) == (403, "ERROR")
        assert "'viewer'" in answer.json()["output"]

    def test_without_it_and_with_a_wrong_one_the_old_envelope_says_no(self, guarded):
        assert_token_failed(guarded("clairvoyant", "version", role=None))
        for wrong in ("wrong", "None", "", TOKEN.upper(), f"{TOKEN} "):
            assert_token_failed(guarded("clairvoyant", "version", role=None, headers={HEADER: wrong}))
        assert_token_failed(guarded("clairvoyant", "no_such", role=None))
        # A good bearer token opens no gate that a wrong header token has shut.
        assert_token_failed(guarded("clairvoyant", "version", headers={HEADER: "wrong"}))

    def test_at_the_other_address_the_error_is_in_the_other_form(self, guarded):
        answer = guarded("ebay", "dag", role=None, headers={HEADER: "wrong"})
        assert (answer.status_code, answer.json()) == (403, {"error": "Token Authentication Failed"})
        assert guarded("ebay", "version", role=None).json() == {"msg": "Missing Authorization Header"}

    @pytest.mark.usefixtures("restored_database")
    def test_with_both_the_bearers_user_acts(self, guarded):
        answer = guarded("clairvoyant", "unpause", {"dag_id": DAG}, headers={HEADER: TOKEN})
        assert answer.json()["output"]["stdout"] == f"Dag: {DAG}, paused: False\n"

    def test_two_that_belong_to_different_users_are_an_error_of_the_call(self, old_with):
        old = old_with(http_token="a:viewer:one,b:op:two")
        both = {HEADER: "one", HEADER.replace("_", "-"): "two"}
        answer = old("clairvoyant", "pause", {"dag_id": DAG}, role=None, headers=both)
        assert (answer.status_code, answer.json()["status"]) == (400, "ERROR")

    def test_where_none_is_set_it_is_passed_over(self, old):
        for door in ("ebay", "clairvoyant"):
            assert old(door, "version", headers={HEADER: "None"}).status_code == 200
            answer = old(door, "version", role=None, headers={HEADER: "None"})
            assert (answer.status_code, answer.json()) == (401, {"msg": "Missing Authorization Header"})

    def test_what_a_proxy_asked_for_is_passed_over_beside_it(self, guarded):
        basic = {"Authorization": "Basic dXNlcjpwYXNz"}
        answer = guarded("clairvoyant", "version", role=None, headers={HEADER: TOKEN, **basic})
        assert answer.status_code == 200
        assert_token_failed(guarded("clairvoyant", "version", role=None, headers={HEADER: "wrong", **basic}))
        assert guarded("clairvoyant", "version", role=None, headers=basic).status_code == 422

    def test_a_bearer_token_is_enough(self, guarded):
        assert guarded("clairvoyant", "version").status_code == 200


class TestBearer:
    @pytest.mark.parametrize("door", ["ebay", "clairvoyant"])
    def test_each_broken_token_is_told_as_the_library_told_it(self, old, token, door):
        head, body, _ = token("admin").split(".")
        claims = json.loads(base64.urlsafe_b64decode(f"{body}=="))
        other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "op"}).encode()).rstrip(b"=").decode()
        expected = {
            "Basic eHh4": (422, "Bad Authorization header. Expected value 'Bearer <JWT>'"),
            "Bearer": (422, "Bad Authorization header. Expected value 'Bearer <JWT>'"),
            "Bearer a b": (422, "Bad Authorization header. Expected value 'Bearer <JWT>'"),
            "Bearer nothing": (422, "Not enough segments"),
            f"Bearer {head}.{other}.c2lnbmF0dXJl": (422, "Signature verification failed"),
        }
        for sent, told in expected.items():
            answer = old(door, "version", role=None, headers={"Authorization": sent})
            assert (answer.status_code, answer.json()) == (told[0], {"msg": told[1]}), sent


class TestDialect:
    def test_a_forced_dialect_is_spoken_at_both_addresses_and_knows_its_own_names_alone(self, old_with):
        names = contract.load("legacy.yaml")["paths"]
        plugins = {path[1:]: item["x-legacy"]["plugins"] for path, item in names.items()}
        for dialect in ("ebay", "clairvoyant"):
            old = old_with(legacy_dialect=dialect)
            for door in ("ebay", "clairvoyant"):
                assert ("error" in old(door, "no_such").json()) is (dialect == "ebay")
                for name, having in plugins.items():
                    is_unknown = "was not found" in old(door, name, role="nobody", method="HEAD").text
                    assert not is_unknown or dialect not in having
                others = [name for name, having in plugins.items() if dialect not in having]
                for name in others:
                    assert f"API '{name}' was not found" in old(door, name).text

    def test_old_calls_can_be_switched_off(self, old_with):
        old = old_with(legacy_enabled=False)
        assert old("ebay", "version").status_code == 404
        assert old("clairvoyant", "version").status_code == 404
