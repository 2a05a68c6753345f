"""Task patterns: the regular expressions by which old commands chose tasks.

Python's own engine takes years for some patterns, and cannot be stopped. The one of the library that checks the
contract takes a time that grows with the text alone; it knows no look-around and no back-reference.
"""

from __future__ import annotations

from collections.abc import Iterable

import jsonschema_rs

from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import task

MOST_CHARACTERS = 1000
# Bytes that the compiled pattern may take.
_SIZE = 1 << 20
_ENGINE = jsonschema_rs.RegexOptions(size_limit=_SIZE, dfa_size_limit=_SIZE)


def chosen(dag_id: str, pattern: str) -> list[str]:
    """Return the tasks of a DAG that match; raises `Printed` and `DagNotFound`."""
    every = task.get_tasks(dag_id, order_by="task_id")["tasks"]
    return matching(pattern, [entry["task_id"] for entry in every])


def matching(pattern: str, task_ids: Iterable[str]) -> list[str]:
    """Return those of the tasks in whose id the pattern is found, wherever in it; raises `Printed` for a broken one."""
    if len(pattern) > MOST_CHARACTERS:
        raise Printed(f"error: argument task_regex: longer than {MOST_CHARACTERS} characters")
    try:
        found = jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_ENGINE)
    except ValueError:
        raise Printed(
            f"error: argument task_regex: invalid regular expression: {pattern!r} (there is no look-around and no "
            "back-reference)"
        ) from None
    return sorted(task_id for task_id in task_ids if found.is_valid(task_id))
