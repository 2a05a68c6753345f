"""The table of what Airflow 3 has removed, compared with the Airflow that is installed."""

from __future__ import annotations

import importlib
import importlib.util
import re

import pytest

from airflow_rest_api.sandbox import removed_names

# What the dependencies of the tests install.
INSTALLED = re.compile(r"airflow\.(?!providers\.)|airflow\.providers\.(?:standard|smtp|common\.sql|celery)\.")
# These still work with the standard providers, with a warning.
KEPT = {
    f"airflow.{name}"
    for name in (
        *(
            "operators." + one
            for one in ("bash", "branch", "datetime", "email", "empty", "latest_only", "python")
        ),
        *("operators." + one for one in ("trigger_dagrun", "weekday")),
        *(
            "sensors." + one
            for one in ("bash", "date_time", "external_task", "filesystem", "python", "time_delta")
        ),
        *("sensors." + one for one in ("time_sensor", "weekday")),
    )
}


def successors():
    for sentence in {*removed_names.MODULES.values(), *removed_names.NAMES.values()}:
        if found := re.fullmatch(r"(?:'(\w+)' of )?'(airflow\.[\w.]+)'", sentence):
            name, module = found.groups()
            if INSTALLED.match(f"{module}."):
                yield module, name


@pytest.mark.parametrize(("module", "name"), sorted(successors(), key=str))
@pytest.mark.filterwarnings("ignore")
def test_a_successor_exists(module, name):
    found = importlib.import_module(module)
    assert name is None or getattr(found, name)


@pytest.mark.parametrize("name", sorted(removed_names.MODULES.keys() - KEPT))
def test_a_module_is_removed(name):
    with pytest.raises(ImportError):
        importlib.import_module(name)


@pytest.mark.parametrize("name", sorted(removed_names.NAMES))
@pytest.mark.filterwarnings("ignore")
def test_a_name_is_removed(name):
    module, _, attribute = name.rpartition(".")
    assert not hasattr(importlib.import_module(module), attribute)


def test_parameters_and_template_variables_are_removed():
    from airflow.sdk import DAG, BaseOperator
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS

    assert not removed_names.CONTEXT.keys() & KNOWN_CONTEXT_KEYS
    for name in removed_names.PARAMETERS:
        for make in (DAG, BaseOperator):
            with pytest.raises(TypeError):
                make(**{"dag_id" if make is DAG else "task_id": "one", name: None})


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "ModuleNotFoundError: No module named 'airflow.contrib.operators.ssh'",
            "Airflow 3 has removed 'airflow.contrib'. Use the provider's own package, 'airflow.providers.…' instead.",
        ),
        (
            "ImportError: cannot import name 'days_ago' from 'airflow.utils.dates' (a.py)",
            (
                "Airflow 3 has removed 'airflow.utils.dates.days_ago'."
                " Use a fixed date, such as 'pendulum.datetime(2025, 1, 1)' instead."
            ),
        ),
        (
            "AttributeError: module 'airflow.configuration' has no attribute 'get'",
            "Airflow 3 has removed 'airflow.configuration.get'. Use 'conf.get' instead.",
        ),
        (
            "TypeError: DAG.__init__() got an unexpected keyword argument 'schedule_interval'",
            "Airflow 3 has removed 'schedule_interval'. Use 'schedule' instead.",
        ),
        (
            "TypeError: Invalid arguments were passed to PythonOperator.\n**kwargs: {'a': 1, 'provide_context': True}",
            "Airflow 3 has removed 'provide_context'. Remove it: the context is always provided.",
        ),
        ("ModuleNotFoundError: No module named 'airflow.providers.x'", None),
        ("ModuleNotFoundError: No module named 'pandas'", None),
        ("TypeError: f() got an unexpected keyword argument 'x'", None),
        ("ValueError: x", None),
    ],
)
def test_an_error_is_answered_with_the_successor(message, advice):
    assert removed_names.advice(message) == advice
