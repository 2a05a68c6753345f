"""Switches and powers: what no permission of Airflow's covers takes a setting, and a grant."""

from __future__ import annotations

import pytest

from airflow_rest_api.security import access, auth_manager, fab_grants, powers
from airflow_rest_api.security.switches import SWITCHES, Switches
from airflow_rest_api.services import errors
from airflow_rest_api.settings import Settings
from tests.web.small import empty, operation, parameter
from tests.web.test_gate import phases

GUARDED = {"security": [{"bearer": []}, {"httpToken": []}]}
DEPLOY = {"resource": "power", "power": "deploy", "method": "PUT", "switch": "deploy_enabled"}
TEST = {
    "resource": "dag",
    "access_entity": "RUN",
    "method": "POST",
    "id_from": "path.dag_id",
    "switch": "test_enabled",
    "power": "test",
}
FOUND = {"resource": "dag", "method": "PUT", "id_from": "found", "power": "files", "switch": "upload_roots"}
LATER = {**DEPLOY, "id_from": "found", "when": "the file goes as well"}


def ruled(operation_id, *rules, **further):
    return operation(operation_id, **GUARDED, **{"x-airflow-access": list(rules)}, **further)


PATHS = {
    "/deploy": {"post": ruled("deploy_thing", DEPLOY)},
    "/test/{dag_id}": {
        "post": ruled("run_test", TEST, parameters=[parameter("dag_id", "path", type="string")])
    },
    "/found": {"post": ruled("find_thing", FOUND)},
    "/later": {"post": ruled("delete_thing", LATER)},
}
HANDLERS = {
    "deploy_thing": empty,
    "run_test": lambda dag_id: {},
    "find_thing": empty,
    "delete_thing": empty,
}


@pytest.fixture
def call(build, token, restored_database):
    def make(**settings):
        client = build(PATHS, HANDLERS, **settings)

        def ask(path, role="admin"):
            return client.post(path, headers={"Authorization": f"Bearer {token(role)}"})

        return ask

    return make


class TestSwitches:
    def test_none_is_on_by_default_and_each_by_its_setting(self):
        assert Switches.of(Settings()).on == Switches().on == frozenset()
        on = Settings(
            deploy_enabled=True,
            test_enabled=True,
            reveal_enabled=True,
            upload_roots={"a": "/a"},
            components_enabled=frozenset({"scheduler"}),
        )
        assert Switches.of(on).on == set(SWITCHES)

    def test_what_is_switched_off_is_refused_even_to_an_administrator(self, call):
        ask = call()
        for role in ("admin", "viewer"):
            answer = ask("deploy", role)
            assert answer.status_code == 403
            assert {**answer.json(), "request_id": ""} == {
                "type": "urn:airflow-rest-api:problem:switch-off",
                "title": "A switch is off",
                "status": 403,
                "detail": "This is switched off here: the administrator has not set [rest_api] deploy_enabled.",
                "instance": "/rest_api/v1/deploy",
                "request_id": "",
                "switch": "deploy_enabled",
            }
        assert phases("deploy_thing") == [("outcome", 403)] * 2

    def test_one_switch_is_not_another(self, call, home):
        root = home / "uploads"
        root.mkdir(exist_ok=True)
        ask = call(test_enabled="True", upload_roots=f"files={root}")
        statuses = {path: ask(path).status_code for path in ("deploy", "test/etl", "found")}
        assert statuses == {"deploy": 403, "test/etl": 200, "found": 200}

    def test_the_switch_is_asked_before_power_and_object(self, rest, monkeypatch):
        asked = []
        monkeypatch.setattr(powers, "granted", lambda user, power: asked.append(power) or True)
        caller = access.caller_of(auth_manager.user_by_name("admin"))
        first = {"resource": "power", "power": "files", "method": "PUT"}
        with pytest.raises(errors.Denied, match="deploy_enabled"):
            access.require([first, DEPLOY], caller, {}, None)
        assert asked == []

    def test_a_rule_with_a_condition_is_the_services(self, call):
        assert call()("later").status_code == 200


class TestPowersOfTheSimpleAuthManager:
    def test_they_are_the_administrators(self, call):
        ask = call(deploy_enabled="True", test_enabled="True")
        for role, status in {"admin": 200, "op": 403, "user": 403, "viewer": 403, "nobody": 403}.items():
            assert ask("deploy", role).status_code == status, role
            assert ask("test/etl", role).status_code == status, role

    def test_a_refusal_names_the_power_and_the_way_out(self, call):
        answer = call(deploy_enabled="True")("deploy", "op")
        assert {**answer.json(), "request_id": ""} == {
            "type": "urn:airflow-rest-api:problem:power-missing",
            "title": "A power is missing",
            "status": 403,
            "detail": (
                "The user 'op' lacks the power 'deploy', which an administrator grants"
                " (the role ADMIN has it)."
            ),
            "instance": "/rest_api/v1/deploy",
            "request_id": "",
            "power": "deploy",
        }

    def test_a_custom_view_alone_would_be_no_gate(self, call, monkeypatch):
        """The negative control: asked in the way of other managers, every viewer could deploy."""
        monkeypatch.setattr(auth_manager, "is_simple", lambda: False)
        assert call(deploy_enabled="True")("deploy", "viewer").status_code == 200

    def test_the_object_is_asked_for_as_well(self, call, monkeypatch):
        manager = type(auth_manager.manager())
        monkeypatch.setattr(manager, "is_authorized_dag", lambda self, *, details, **_: details.id != "etl")
        ask = call(test_enabled="True")
        assert [ask(f"test/{dag_id}").status_code for dag_id in ("etl", "manual")] == [403, 200]


class TestPowersOfOtherManagers:
    @pytest.fixture
    def user(self, rest, monkeypatch):
        user = auth_manager.user_by_name("viewer")
        monkeypatch.setattr(auth_manager, "is_simple", lambda: False)
        return user

    def answering(self, monkeypatch, answer):
        asked = []

        def is_authorized_custom_view(self, *, method, resource_name, user):
            asked.append((method, resource_name, user.get_name()))
            if isinstance(answer, Exception):
                raise answer
            return answer

        manager = type(auth_manager.manager())
        monkeypatch.setattr(manager, "is_authorized_custom_view", is_authorized_custom_view)
        return asked

    def test_each_power_is_a_custom_view_of_its_own(self, user, monkeypatch):
        asked = self.answering(monkeypatch, True)
        assert all(powers.granted(user, power) for power in powers.RESOURCES)
        assert asked == [
            ("PUT", f"REST API {name}", "viewer")
            for name in ("Deploy", "Files", "Components", "Test", "Reveal")
        ]

    @pytest.mark.parametrize(
        "answer", [False, None, NotImplementedError(), KeyError("REST API Deploy"), RuntimeError("away")]
    )
    def test_no_clear_yes_is_a_no(self, user, monkeypatch, answer):
        self.answering(monkeypatch, answer)
        permissions = access.caller_of(user).permissions
        assert not permissions.may_power("deploy")
        with pytest.raises(powers.PowerMissing, match="PUT on the custom view 'REST API Deploy'"):
            permissions.require_power("deploy")

    def test_nothing_is_made_for_them(self, rest, monkeypatch):
        made = []
        monkeypatch.setattr(fab_grants, "create_missing", made.append)
        powers.prepare()
        assert made == []


class TestRowsOfFlaskAppBuilder:
    """What cannot be made to happen for sure with real processes; the rest is in `test_fab_powers.py`."""

    @pytest.mark.parametrize(("failures", "calls"), [(0, 1), (3, 4), (99, 10)])
    def test_they_are_tried_again_when_another_process_comes_first(self, monkeypatch, failures, calls):
        tried = []

        def write(_):
            tried.append(1)
            if len(tried) <= failures:
                raise errors.AlreadyExists("made by another process")

        monkeypatch.setattr(fab_grants, "write", write)
        fab_grants._create("REST API Deploy", mark=-1)
        assert len(tried) == calls


class TestBrokenRules:
    def test_a_rule_that_nobody_can_ask_is_refused_at_start(self, build):
        from airflow_rest_api.web.app import StartError

        for broken, said in {
            "switch": "the switch 'x'",
            "power": "the power 'x'",
        }.items():
            paths = {"/a": {"post": ruled("deploy_thing", {**DEPLOY, broken: "x"})}}
            with pytest.raises(StartError, match=said):
                build(paths, HANDLERS)
