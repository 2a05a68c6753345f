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

    def is_authorized_named(kind, name):
        def question(self, *, method, user, details=None):
            asked.append((kind, method, getattr(details, name), details.team_name))
            return asked.answer

        return question

    for kind, name in {"variable": "key", "connection": "conn_id", "pool": "name"}.items():
        monkeypatch.setattr(manager, f"is_authorized_{kind}", is_authorized_named(kind, name))
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
            (
                rule(resource="variable", id_from="path.variable_key"),
                {"variable_key": "a/b"},
                None,
                ("variable", "GET", "a/b", None),
            ),
            (
                rule(resource="connection", method="POST", id_from="body./connection_id"),
                {},
                {"connection_id": "db", "team_name": "red"},
                ("connection", "POST", "db", None),
            ),
            (
                rule(resource="pool", method="DELETE", id_from="path.pool_name"),
                {"pool_name": "small"},
                None,
                ("pool", "DELETE", "small", None),
            ),
            (
                rule(resource="pool", id_from="path.pool_name"),
                {"pool_name": "~"},
                None,
                ("pool", "GET", "~", None),
            ),
            (rule(resource="pool"), {}, None, ("pool", "GET", None, None)),
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
            (
                rule(resource="pool", id_from="path.dag_id"),
                "The user 'op' may not do this (GET on the pool 'etl').",
            ),
            (
                rule(resource="variable", method="POST"),
                "The user 'op' may not do this (POST on variables).",
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

    @pytest.mark.parametrize("resource", ["dag", "view", "variable"])
    def test_a_question_that_the_manager_does_not_know_is_answered_with_no(
        self, asked, caller, monkeypatch, resource
    ):
        def refuse(self, **_):
            raise NotImplementedError("not compatible with multi-team")

        monkeypatch.setattr(type(auth_manager.manager()), f"is_authorized_{resource}", refuse)
        entity = {"access_entity": "PLUGINS"} if resource == "view" else {}
        with pytest.raises(errors.Denied):
            access.require([rule(resource=resource, **entity)], caller, {}, None)

    def test_the_first_rule_that_fails_ends_it(self, asked, caller):
        asked.answer = False
        with pytest.raises(errors.Denied):
            access.require([rule(), rule()], caller, {}, None)
        assert len(asked) == 1


class TestDagScope:
    def test_a_manager_that_lists_no_dags_permits_none(self, rest, caller, monkeypatch):
        def refuse(self, **_):
            raise NotImplementedError

        monkeypatch.setattr(auth_manager, "knows_no_single_dags", lambda: False)
        monkeypatch.setattr(type(auth_manager.manager()), "get_authorized_dag_ids", refuse)
        scope = caller.permissions.dag_scope("GET")
        assert (scope.dag_ids, scope.everything) == (frozenset(), False)

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


class TestNamedScope:
    @pytest.mark.parametrize(
        ("resource", "id_of"), [("variable", "key"), ("connection", "conn_id"), ("pool", "pool")]
    )
    def test_airflows_own_managers_know_no_single_objects(self, rest, caller, monkeypatch, resource, id_of):
        from airflow.models import Connection, Pool, Variable

        model = {"variable": Variable, "connection": Connection, "pool": Pool}[resource]
        column = getattr(model, id_of)
        assert caller.permissions.named_scope(resource, "GET").restrict(column) == []
        monkeypatch.setattr(type(auth_manager.manager()), f"is_authorized_{resource}", lambda *_, **__: False)
        (condition,) = caller.permissions.named_scope(resource, "GET").restrict(column)
        assert "IN" in str(condition)
        assert caller.permissions.named_scope(resource, "GET").names == frozenset()

    def test_another_manager_is_asked_name_by_name(self, rest, caller, monkeypatch):
        monkeypatch.setattr(auth_manager, "knows_no_single_dags", lambda: False)
        monkeypatch.setattr(
            type(auth_manager.manager()), "get_authorized_variables", lambda *_, **__: {"colour", "shape"}
        )
        scope = caller.permissions.named_scope("variable", "GET")
        assert (scope.names, scope.everything) == ({"colour", "shape"}, False)


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

    @pytest.mark.parametrize(
        ("method", "body", "teams"),
        [
            ("GET", None, {"red"}),
            ("DELETE", None, {"red"}),
            ("POST", {"team_name": "blue"}, {"blue"}),
            ("POST", {}, {None}),
            ("PUT", {"team_name": "blue"}, {"red", "blue"}),
            ("PUT", {"team_name": "red"}, {"red"}),
            ("PUT", {}, {"red", None}),
        ],
    )
    @pytest.mark.parametrize("resource", ["variable", "connection", "pool"])
    def test_a_change_is_one_of_the_team_that_has_it_and_of_the_one_that_gets_it(
        self, asked, caller, monkeypatch, resource, method, body, teams
    ):
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        known = access._NAMED[resource]._replace(team_of=lambda name: "red" if name == "mine" else None)
        monkeypatch.setitem(access._NAMED, resource, known)
        given = rule(resource=resource, method=method, id_from="path.name")
        access.require([given], caller, {"name": "mine"}, body)
        assert [question[:3] for question in asked] == [(resource, method, "mine")] * len(teams)
        assert {question[3] for question in asked} == teams

    @pytest.mark.parametrize("resource", ["variable", "connection", "pool"])
    def test_the_team_is_read_from_the_object(self, asked, caller, monkeypatch, resource):
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        access.require(
            [rule(resource=resource, id_from="path.name")], caller, {"name": "no_such_thing"}, None
        )
        access.require([rule(resource=resource)], caller, {}, None)
        assert asked == [(resource, "GET", "no_such_thing", None), (resource, "GET", None, None)]

    def test_one_team_that_refuses_is_enough(self, rest, caller, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        known = access._NAMED["pool"]._replace(team_of=lambda _: "red")
        monkeypatch.setitem(access._NAMED, "pool", known)
        monkeypatch.setattr(
            type(auth_manager.manager()),
            "is_authorized_pool",
            lambda self, *, details, **_: details.team_name == "red",
        )
        given = rule(resource="pool", method="PUT", id_from="path.pool_name")
        access.require([given], caller, {"pool_name": "small"}, {"team_name": "red"})
        with pytest.raises(errors.Denied):
            access.require([given], caller, {"pool_name": "small"}, {"team_name": "blue"})
