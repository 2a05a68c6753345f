"""The rules of `x-airflow-access`: what could not be asked is told at start."""

from __future__ import annotations

from dataclasses import fields

import pytest

from airflow_rest_api.security import access, switches
from airflow_rest_api.settings import Settings
from airflow_rest_api.web import contract


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"resource": "dag", "method": "GET"}, []),
        (
            {
                "resource": "dag",
                "method": "PUT",
                "access_entity": "RUN",
                "id_from": "found",
                "when": "changed",
            },
            [],
        ),
        ({"resource": "view", "method": "GET", "access_entity": "IMPORT_ERRORS"}, []),
        ({"resource": "dags", "method": "GET"}, ["the resource 'dags'"]),
        ({"method": "GET"}, ["the resource 'None'"]),
        ({"resource": "dag", "method": "GET", "access_entity": "RUNS"}, ["the access_entity 'RUNS'"]),
        ({"resource": "view", "method": "GET"}, ["the access_entity 'None'"]),
        ({"resource": "dag", "method": "PATCH"}, ["the method 'PATCH'"]),
        ({"resource": "dag", "method": "GET", "id_form": "path.dag_id"}, ["the key 'id_form'"]),
        ({"resource": "dag", "method": "GET", "id_from": "path.dagid"}, ["the id_from 'path.dagid'"]),
        ({"resource": "dag", "method": "GET", "id_from": "dag_id"}, ["the id_from 'dag_id'"]),
        ({"resource": "dag", "method": "GET", "id_from": "body.dag_id"}, ["the id_from 'body.dag_id'"]),
        ({"resource": "pool", "method": "PUT", "id_from": "body./pool"}, []),
        ({"resource": "pool", "method": "PUT", "access_entity": "RUN"}, ["the access_entity 'RUN'"]),
        ({"resource": "power", "power": "deploy", "method": "PUT", "switch": "deploy_enabled"}, []),
        ({"resource": "dag", "method": "PUT", "switch": "test_enabled", "power": "test"}, []),
        ({"resource": "power", "power": "deploy", "method": "POST"}, ["the method 'POST'"]),
        ({"resource": "power", "method": "PUT"}, ["the power 'None'"]),
        ({"resource": "power", "power": "fly", "method": "PUT"}, ["the power 'fly'"]),
        ({"resource": "dag", "power": "fly", "method": "PUT"}, ["the power 'fly'"]),
        ({"resource": "dag", "switch": "fly_enabled", "method": "PUT"}, ["the switch 'fly_enabled'"]),
        ({"resource": "dag", "switch": "legacy_enabled", "method": "PUT"}, ["the switch 'legacy_enabled'"]),
    ],
)
def test_what_a_rule_names_and_nobody_knows_is_told(rule, told):
    assert list(access.unknown([rule], ["dag_id"])) == told


@pytest.mark.parametrize("name", contract.BASE_PATHS)
def test_every_rule_of_the_contracts_is_known(name):
    document = contract.load(name)
    told = [
        what
        for operation in contract.operations(document)
        for what in access.unknown(
            operation.access or (), [entry["name"] for entry in contract.parameters(document, operation)]
        )
    ]
    assert told == []


def test_every_switch_is_a_setting():
    names = {entry.name for entry in fields(Settings)}
    assert set(switches.SWITCHES) <= names
