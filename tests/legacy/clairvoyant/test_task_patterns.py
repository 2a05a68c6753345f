"""Patterns of task ids: what they choose, what they refuse, and how long that takes."""

from __future__ import annotations

import time

import pytest

from airflow_rest_api.legacy.clairvoyant import task_patterns
from airflow_rest_api.legacy.failures import Printed

TASKS = ["load.orders", "load.customers", "start", "check"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("load", ["load.customers", "load.orders"]),
        (r"^load\.", ["load.customers", "load.orders"]),
        ("art$", ["start"]),
        ("o", ["load.customers", "load.orders"]),
        ("(?i)START|CHECK", ["check", "start"]),
        (r"\w+\.[c-d]\w*", ["load.customers"]),
        ("nothing", []),
        ("", sorted(TASKS)),
    ],
    ids=str,
)
def test_a_task_is_chosen_where_the_pattern_is_found_in_its_id(pattern, expected):
    assert task_patterns.matching(pattern, TASKS) == expected


@pytest.mark.parametrize(
    "pattern",
    ["(", "[", "(?=load)", r"(a)\1", "(a{1000}){1000}", "x" * 1001, "(" * 1000, r"\p{Nothing}"],
    ids=["open", "set", "look-around", "back-reference", "huge", "long", "nested", "class"],
)
def test_what_cannot_be_searched_for_is_refused(pattern):
    with pytest.raises(Printed, match="argument task_regex"):
        task_patterns.matching(pattern, TASKS)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "(a?){200}a{200}"], ids=str)
def test_no_pattern_takes_long(pattern):
    begin = time.monotonic()
    task_patterns.matching(pattern, ["a" * 250 + "!"] * 100)
    assert time.monotonic() - begin < 2
