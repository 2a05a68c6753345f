"""Which of the states of a task's instances is told for the task."""

from __future__ import annotations

import pytest

from airflow_rest_api.services.task_instances import telling_task_instance


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([], None),
        ([None], None),
        (["success"], "success"),
        (["success", None], None),
        (["success", "skipped"], "success"),
        (["success", "running", "queued"], "running"),
        (["running", "failed"], "failed"),
        (["success", "awaiting_input"], "awaiting_input"),
        (["a state of tomorrow"], "a state of tomorrow"),
    ],
    ids=str,
)
def test_of_many_states_the_one_that_needs_attention_is_told(states, wanted):
    assert telling_task_instance.telling_state(set(states)) == wanted
