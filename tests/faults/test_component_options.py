"""The target `component_options`, small; and that it can be missed."""

from __future__ import annotations

import shlex

import pytest

from airflow_rest_api.services.components import recipe
from airflow_rest_api.services.components.recipe import Recipe
from tests.faults import component_options

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]


def test_no_value_becomes_another_word_than_its_own():
    figures = component_options.run(full=False)
    assert (figures["values"], figures["executions"]) == (250, 0)


def test_a_service_that_takes_what_the_contract_lets_through_is_noticed(monkeypatch):
    monkeypatch.setattr(Recipe, "whole", lambda self, wishes: {**self.defaults, **wishes})
    with pytest.raises((ValueError, AssertionError), match=r"^$|became|was taken"):
        component_options.run(full=False)


def test_a_shell_is_noticed(monkeypatch):
    plain = Recipe.argv

    def by_a_shell(self, wishes):
        return "/bin/sh", "-c", shlex.join((*plain(self, wishes), "&"))

    monkeypatch.setattr(Recipe, "argv", by_a_shell)
    assert recipe.INTERPRETER
    with pytest.raises(AssertionError):
        component_options.run(full=False)
