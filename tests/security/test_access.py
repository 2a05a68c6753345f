"""Permissions: every kind of rule, asked of Airflow's auth manager."""

from __future__ import annotations

import pytest

from airflow_rest_api.security import access, auth_manager
from airflow_rest_api.services import errors
from tests.support import readers


@pytest.fixture
def asked(monkeypatch, rest):
    """The questions put to the auth manager; `asked.answer` is what it says."""

    class Asked(list):
        answer = True

    asked = Asked()
    manager = type(auth_manager.manager())

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        entity = access_entity.name if access_entity else None
        asked.append((method, entity, details.id if details else None))
        return asked.answer

    def is_authorized_view(self, *, access_view, user):
        asked.append(("view", access_view.name))
        return asked.answer

    monkeypatch.setattr(manager, "is_authorized_dag", is_authorized_dag)
    monkeypatch.setattr(manager, "is_authorized_view", is_authorized_view)
    return asked


@pytest.fixture
def caller(rest):
    return access.caller_of(auth_manager.user_by_name("op"))


def rule(**parts):
    return {"resource": "dag", "method": "GET", **parts}


class TestRules:
    @pytest.mark.parametrize(
        ("given", "arguments", "body", "question"),
        [
            (rule(), {}, None, ("GET", None, None)),
            (rule(method="PUT", id_from="path.dag_id"), {"dag_id": "etl"}, None, ("PUT", None, "etl")),
            (
                rule(access_entity="RUN", id_from="path.dag_id"),
                {"dag_id": "etl"},
                None,
                ("GET", "RUN", "etl"),
            ),
            (rule(id_from="path.dag_id"), {"dag_id": "~"}, None, ("GET", None, None)),
            (rule(id_from="query.dag_id"), {"dag_id": None}, None, ("GET", None, None)),
            (rule(id_from="query.dag_id"), {"dag_id": ""}, None, ("GET", None, None)),
            (rule(id_from="body./dag_id"), {}, {"dag_id": "etl"}, ("GET", None, "etl")),
            (rule(id_from="body./a/dag_id"), {}, {"a": {"dag_id": "etl"}}, ("GET", None, "etl")),
            (rule(id_from="body./a/dag_id"), {}, {"a": []}, ("GET", None, None)),
            (rule(id_from="body./dag_id"), {"dag_id": "other"}, {}, ("GET", None, None)),
            (
                {"resource": "view", "method": "GET", "access_entity": "IMPORT_ERRORS"},
                {},
                None,
                ("view", "IMPORT_ERRORS"),
            ),
        ],
    )
    def test_a_rule_is_one_question(self, asked, caller, given, arguments, body, question):
        access.require([given], caller, arguments, body)
        assert asked == [question]

    def test_all_rules_have_to_hold(self, asked, caller):
        access.require([rule(), rule(method="PUT")], caller, {}, None)
        assert len(asked) == 2

    def test_no_rule_is_no_question(self, asked, caller):
        access.require([], caller, {}, None)
        assert asked == []

    def test_what_the_service_finds_it_asks_itself(self, asked, caller):
        access.require([rule(id_from="found")], caller, {}, None)
        assert asked == []

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (rule(id_from="path.dag_id"), "The user 'op' may not do this (GET on the DAG 'etl')."),
            (rule(method="PUT"), "The user 'op' may not do this (PUT on DAGs)."),
            (
                rule(access_entity="RUN", id_from="path.dag_id"),
                "The user 'op' may not do this (GET on RUN of the DAG 'etl').",
            ),
            (
                {"resource": "view", "method": "GET", "access_entity": "PLUGINS"},
                "The user 'op' may not do this (GET on the view PLUGINS).",
            ),
        ],
    )
    def test_a_refusal_names_user_and_thing(self, asked, caller, given, said):
        asked.answer = False
        with pytest.raises(errors.Denied) as refusal:
            access.require([given], caller, {"dag_id": "etl"}, None)
        assert refusal.value.detail == said

    def test_an_unknown_resource_is_a_fault_of_the_contract(self, asked, caller):
        with pytest.raises(LookupError, match="spaceship"):
            access.require([rule(resource="spaceship")], caller, {}, None)

    def test_the_first_rule_that_fails_ends_it(self, asked, caller):
        asked.answer = False
        with pytest.raises(errors.Denied):
            access.require([rule(), rule()], caller, {}, None)
        assert len(asked) == 1


class TestDagScope:
    def test_who_may_read_everything_is_not_given_a_list(self, rest, caller):
        from airflow.models.dag import DagModel

        scope = caller.permissions.dag_scope("GET")
        assert scope.everything
        assert "SELECT" in str(scope.restrict(DagModel.dag_id)[0])

    def test_who_may_read_some_is_given_them(self, rest, caller, monkeypatch):
        from airflow.models.dag import DagModel

        readers.restrict(monkeypatch, ["etl", "manual"])
        scope = caller.permissions.dag_scope("GET")
        assert (scope.dag_ids, scope.everything) == ({"etl", "manual"}, False)
        condition = scope.restrict(DagModel.dag_id)[0]
        assert "SELECT" not in str(condition)

    def test_who_may_read_nothing_is_given_nothing(self, rest, caller, monkeypatch):
        readers.restrict(monkeypatch, [])
        scope = caller.permissions.dag_scope("GET")
        assert (scope.dag_ids, scope.everything) == (frozenset(), False)

    def test_another_manager_is_asked_dag_by_dag(self, rest, caller, monkeypatch):
        monkeypatch.setattr(auth_manager, "knows_no_single_dags", lambda: False)
        scope = caller.permissions.dag_scope("GET")
        assert "etl" in scope.dag_ids
        assert not scope.everything, "what such a manager answers says nothing about a DAG that it leaves out"
        readers.restrict(monkeypatch, ["etl"])
        scope = caller.permissions.dag_scope("PUT")
        assert (scope.dag_ids, scope.everything) == ({"etl"}, False)


class TestTeams:
    def test_the_team_of_a_dag_is_told_where_there_are_teams(self, rest, caller, monkeypatch):
        from airflow.models.dag import DagModel

        seen = []
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        monkeypatch.setattr(DagModel, "get_team_name", lambda dag_id: f"team of {dag_id}")
        monkeypatch.setattr(
            type(auth_manager.manager()),
            "is_authorized_dag",
            lambda self, *, details, **_: seen.append(details.team_name) or True,
        )
        assert caller.permissions.may_dag("etl", "GET")
        assert caller.permissions.may_dag(None, "GET")
        assert seen == ["team of etl", None]
