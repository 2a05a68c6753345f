"""The rules of `x-airflow-access`: what could not be asked is told at start."""

from __future__ import annotations

import pytest

from airflow_rest_api.security import access
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
    ],
)
def test_what_a_rule_names_and_nobody_knows_is_told(rule, told):
    assert list(access.unknown([rule])) == told


@pytest.mark.parametrize("name", contract.BASE_PATHS)
def test_every_rule_of_the_contracts_is_known(name):
    operations = contract.operations(contract.load(name))
    assert [told for operation in operations for told in access.unknown(operation.access or ())] == []
