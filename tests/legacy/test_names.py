"""Every old call by its name: what it needs, from where it takes it, and a DAG that is not there."""

from __future__ import annotations

import pytest

from airflow_rest_api.legacy import catalogue
from airflow_rest_api.web import contract

DOCUMENT = contract.load("legacy.yaml")
KNOWN = catalogue.of(DOCUMENT, contract.operations(DOCUMENT))
DAG = "example_bash_operator"
# Nothing of it is there, so that nothing is changed.
VALUES = {
    "dag_id": DAG,
    "run_id": "no_such_run",
    "task_id": "no_such_task",
    "tasks": "no_such_task",
    "execution_date": "1999-01-01T00:00:00",
    "principal": "nobody@EXAMPLE.COM",
}
# Clairvoyant's plugin looked into the address alone.
IN_QUERY_ALONE = {"refresh_dag"}
PASSING = {"arguments", "post_arguments", "call_time", "response_time"}


def calls(wanted):
    """The calls of which `wanted` is true, each in each dialect that has it."""
    return [
        pytest.param(name, door, call.required[door], id=f"{name}-{door}")
        for name, call in KNOWN.items()
        for door in call.plugins
        if wanted(name, call.required[door])
    ]


def told(answer):
    """Status and answer, without what only echoes the call."""
    return answer.status_code, {key: value for key, value in answer.json().items() if key not in PASSING}


def refusal(door, sentence):
    if door == "ebay":
        return 400, {"error": sentence}
    return 400, {"output": sentence, "status": "ERROR", "http_response_code": 400}


def given(names):
    """Values of the arguments; where there is none but the DAG, that is another one."""
    values = {name: VALUES[name] for name in names}
    return {"dag_id": "no_such"} if list(names) == ["dag_id"] else values


@pytest.mark.parametrize(("name", "door", "required"), calls(lambda _, required: required))
class TestRequired:
    def test_all_that_is_missing_is_told_in_order(self, old, name, door, required):
        missing = list(required)
        while missing:
            values = {key: value for key, value in given(required).items() if key not in missing}
            for query, form in ((values, None), ({}, values), ({**values, missing[0]: ""}, {})):
                answer = old(door, name, query, form=form)
                assert told(answer) == refusal(door, f"The argument(s) {missing} are required")
            missing.pop(0)


@pytest.mark.parametrize(
    ("name", "door", "required"), calls(lambda name, required: required and name not in IN_QUERY_ALONE)
)
def test_arguments_come_from_query_form_or_both(old, name, door, required):
    values = given(required)
    first, *others = values
    in_query = told(old(door, name, values))
    assert "are required" not in str(in_query)
    sources = {
        "form": ({}, values),
        "mixed": ({first: values[first]}, {other: values[other] for other in others}),
        "the other way": ({other: values[other] for other in others}, {first: values[first]}),
        "empty in the query": ({**values, first: ""}, {first: values[first]}),
        "first in the query": (values, dict.fromkeys(values, "another")),
    }
    for source, (query, form) in sources.items():
        assert told(old(door, name, query, form=form)) == in_query, source
    parts = {key: (None, value) for key, value in values.items()}
    assert told(old(door, name, files=parts)) == in_query, "multipart"


@pytest.mark.parametrize(
    ("name", "door", "required"),
    calls(lambda name, _: any(e.name == "dag_id" for e in KNOWN[name].arguments)),
)
def test_a_dag_that_is_not_there_is_told(old, name, door, required):
    values = {**{key: VALUES[key] for key in required}, "dag_id": " no_such "}
    answer = old(door, name, values)
    assert told(answer) == refusal(door, "The DAG ID 'no_such' does not exist")


@pytest.mark.parametrize("name", [name for name, call in KNOWN.items() if "clairvoyant" in call.plugins])
def test_a_call_has_the_address_of_clairvoyants_first_releases_too(old, name):
    """They had `/admin/rest_api/api/v1.0/NAME`. A caller without a role changes nothing."""
    for method in ("GET", "POST"):
        first, later = (
            old("clairvoyant", called, method=method, role="nobody", below=below)
            for called, below in ((None, f"/v1.0/{name}"), (name, ""))
        )
        assert told(first) == told(later)
        assert "was not found" not in first.text


def test_the_address_of_the_first_releases_takes_arguments_and_names_its_calls(old):
    dates = {"dag_id": "etl", "execution_date": "2026-01-05"}
    assert told(old("clairvoyant", None, dates, below="/v1.0/dag_state")) == told(
        old("clairvoyant", "dag_state", dates)
    )
    assert told(old("clairvoyant", None, form=dates, below="/v1.0/dag_state/")) == told(
        old("clairvoyant", "dag_state", dates)
    )
    unknown = old("clairvoyant", None, below="/v1.0/no_such")
    assert told(unknown) == refusal("clairvoyant", "API 'no_such' was not found")
    assert told(old("clairvoyant", None, below="/v1.0")) == refusal("clairvoyant", "API should be provided")
    assert told(old("clairvoyant", None, below="/v1.0x/version")) == refusal(
        "clairvoyant", "API 'v1.0x/version' was not found"
    )
    assert told(old("ebay", None, below="/v1.0/version")) == refusal(
        "ebay", "API 'v1.0/version' was not found"
    )
