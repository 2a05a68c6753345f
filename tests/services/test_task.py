"""Tasks: weight rules that no DAG of the tests has."""

from __future__ import annotations

import pytest
from airflow.task.priority_strategy import PriorityWeightStrategy, validate_and_load_priority_weight_strategy

from airflow_rest_api.services import task


class Own(PriorityWeightStrategy):
    def get_weight(self, ti):
        return 1


@pytest.mark.parametrize("name", ["absolute", "downstream", "upstream"])
def test_airflows_own_weight_rules_have_names(name):
    assert task._weight_rule(validate_and_load_priority_weight_strategy(name)) == name


def test_any_other_weight_rule_is_named_by_its_path():
    assert task._weight_rule(Own()) == f"{__name__}.Own"
