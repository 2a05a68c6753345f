"""DAG list: what `airflow list_dags` printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_names
from airflow_rest_api.services.dags.dag_names import DagFile

_RULE = "-" * 67
_HEADINGS = ("file", "duration", "dag_num", "dags")


def printed(caller: Caller, *, report: bool) -> str:
    """Return the box and the ids of the DAGs that the caller may read, and what is known of their files."""
    listed = "\n".join(dag_names.readable(caller))
    text = f"\n\n{_RULE}\nDAGS\n{_RULE}\n{listed}\n\n"
    return text + report_of(dag_names.files(caller)) if report else text


def report_of(files: Sequence[DagFile]) -> str:
    """Return the report of files: it counted tasks, too, which reading the list of DAGs does not tell."""
    bundles = ", ".join(sorted({file.bundle for file in files}))
    lines = [
        f"DagBag loading stats for {bundles}",
        _RULE,
        f"Number of DAGs: {sum(len(file.dag_ids) for file in files)}",
        "Total task number: unknown (list_tasks tells the tasks of a DAG)",
        f"DagBag parsing time: {round(sum(file.seconds for file in files), 6)}",
    ]
    return "\n".join(["", "", _RULE, *lines, *_table([_row(file) for file in files]), "", ""])


def _row(file: DagFile) -> tuple[str, str, str, str]:
    return f"/{file.path}", str(file.seconds), str(len(file.dag_ids)), str(file.dag_ids)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    rule = "-+-".join("-" * width for width in widths)
    file, seconds, count, names = widths
    yield from (rule, " | ".join(map(str.ljust, _HEADINGS, widths)), rule)
    for row in rows:
        yield f"{row[0]:<{file}} | {row[1]:<{seconds}} | {row[2]:>{count}} | {row[3]:<{names}}"
    yield rule
