"""Trigger rules: whether the states of upstream task instances let a task go on, as Airflow 3.3 decides.

Airflow's own `TriggerRuleDep` asks the database for each instance of a task in a mapped group, and sets states while it
looks; this decides for any number of them from states that were read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

State = str | None

SUCCESS, SKIPPED, FAILED, UPSTREAM_FAILED, REMOVED = (
    "success",
    "skipped",
    "failed",
    "upstream_failed",
    "removed",
)
SETUPS = "setups_succeeded"
FINISHED = frozenset({SUCCESS, SKIPPED, FAILED, UPSTREAM_FAILED, REMOVED})
_NOT_FAILED = frozenset({SUCCESS, SKIPPED, REMOVED})

# The states of upstream instances with which each rule is content; all others stand in its way.
_CONTENT: Mapping[str, frozenset[str]] = {
    "all_success": frozenset({SUCCESS, REMOVED}),
    "all_failed": frozenset({FAILED, UPSTREAM_FAILED, REMOVED}),
    "all_done": FINISHED,
    "all_done_min_one_success": FINISHED - {SKIPPED},
    "all_done_setup_success": FINISHED,
    "all_skipped": frozenset({SKIPPED}),
    "one_success": frozenset({SUCCESS}),
    "one_failed": frozenset({FAILED, UPSTREAM_FAILED}),
    "one_done": frozenset({SUCCESS, FAILED}),
    "none_failed": _NOT_FAILED,
    "none_failed_min_one_success": _NOT_FAILED,
    "none_skipped": FINISHED - {SKIPPED},
    # No rule that a task can have: what its indirect setups have to be, whatever its rule is.
    SETUPS: frozenset({SUCCESS}),
}


class Upstream(NamedTuple):
    """The instances of one upstream task that count for a task instance, by their states."""

    task_id: str
    states: Counter[State]
    is_setup: bool = False


class InTheWay(NamedTuple):
    """So many instances of an upstream task, in a state with which a rule is not content."""

    task_id: str
    state: State
    number: int


def is_met(rule: str, upstream: Iterable[Upstream]) -> bool:
    """Tell whether the rule lets a task with these upstream instances go on; without any it does."""
    every = list(upstream)
    if not every or rule == "always":
        return True
    states = _sum(every)
    if rule in _ONE:
        return _ONE[rule](states)
    if not _all_content(rule, states):
        return False
    if rule in ("none_failed_min_one_success", "all_done_min_one_success"):
        return states[SUCCESS] > 0
    if rule == "all_done_setup_success":
        setups = _sum(entry for entry in every if entry.is_setup)
        return not setups or setups[SUCCESS] > 0
    return True


def in_the_way(rule: str, upstream: Iterable[Upstream]) -> list[InTheWay]:
    """Return what an unmet rule is not content with; where each is fine for itself (`min_one`), what there is."""
    every = list(upstream)
    content = _CONTENT.get(rule, frozenset())
    found = [
        InTheWay(entry.task_id, state, count)
        for entry in every
        for state, count in entry.states.items()
        if state not in content
    ]
    return found or [
        InTheWay(entry.task_id, state, count) for entry in every for state, count in entry.states.items()
    ]


def _all_content(rule: str, states: Counter[State]) -> bool:
    content = _CONTENT.get(rule, frozenset())
    return all(state in content for state in states)


def _sum(upstream: Iterable[Upstream]) -> Counter[State]:
    states: Counter[State] = Counter()
    for entry in upstream:
        states.update(entry.states)
    return states


_ONE: Mapping[str, Callable[[Counter[State]], bool]] = {
    "one_success": lambda states: states[SUCCESS] > 0,
    "one_failed": lambda states: states[FAILED] + states[UPSTREAM_FAILED] > 0,
    "one_done": lambda states: states[SUCCESS] + states[FAILED] > 0,
}
