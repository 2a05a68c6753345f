"""Backfills as both services know them: what is read, what is refused, and the one of the scenario paused and unpaused.

What is made has no name that could tell the sides apart; `tests/handlers/test_backfill.py` compares it.
"""

from __future__ import annotations

from typing import Any

from tests.support.shared_calls import SharedCall

# What our answers tell beyond Airflow's.
ADDED = {"progress", "held_back_by", "selection", "skipped_reasons", "running_backfill_id"}
DAILY, EVERY_THREE_HOURS = "example_bash_operator", "by_delta"


def body(
    dag_id: str = DAILY, first: str = "2026-02-01", last: str = "2026-02-05", **more: Any
) -> dict[str, Any]:
    """What is sent to make a backfill, or to try."""
    return {"dag_id": dag_id, "from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z", **more}


def normalise(value: Any) -> Any:
    """Take out what Airflow does not tell, and the moment of a change."""
    if isinstance(value, list):
        return [normalise(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        name: "then" if name == "updated_at" else normalise(entry)
        for name, entry in value.items()
        if name not in ADDED
    }


# Why none is made, in the words of Airflow's exceptions.
REFUSED: dict[str, dict[str, Any]] = {
    "dag-not-found": body("no_such_dag"),
    "already-running-backfill": body("etl", reprocess_behavior="failed"),
    "dag-non-periodic-schedule": body("manual"),
    "invalid-backfill-date-range": body(first="2026-02-05", last="2026-02-01"),
    "invalid-backfill-date": body(first="2100-01-01", last="2100-01-02"),
    "no-backfill-runs-to-create": body("by_trigger_timetable", first="2026-02-03", last="2026-02-04"),
}
# Of the DAGs with tasks that depend on the past, and of those with params, the one that can be asked has a backfill.
REFUSED_DRY: dict[str, dict[str, Any]] = {
    "dag-not-found": body("no_such_dag"),
    "dag-non-periodic-schedule": body("waits_for_assets"),
    "invalid-backfill-date-range": body(first="2026-02-05", last="2026-02-01"),
    "invalid-backfill-date": body(first="2100-01-01", last="2100-01-02"),
    "invalid-backfill-direction": body("etl", run_backwards=True, reprocess_behavior="failed"),
    "invalid-reprocess-behavior": body("etl"),
    "invalid-backfill-conf": body("etl", reprocess_behavior="failed", dag_run_conf={"limit": 0}),
}
# What cannot be meant at all.
MALFORMED: tuple[Any, ...] = (
    {},
    {"dag_id": DAILY},
    [body()],
    body(dag_id=7),
    body(unknown=1),
    body(reprocess_behavior="some"),
    body(dag_run_conf="text"),
    body(max_active_runs="many"),
    body(run_backwards=None),
    {**body(), "from_date": "yesterday"},
)
_PLANS = (
    body(),
    body(run_backwards=True),
    body(EVERY_THREE_HOURS, "2026-02-01", "2026-02-02"),
    body("by_trigger_timetable", "2026-02-01", "2026-03-01"),
    body("partitioned", "2026-02-01", "2026-02-04"),
    body(first="2026-02-01", last="2026-02-01"),
    body("scheduler_only", "2025-12-30", "2026-01-02"),
    body("etl", "2026-01-01", "2026-01-12", reprocess_behavior="failed"),
    body("etl", "2026-01-01", "2026-01-12", reprocess_behavior="completed"),
    {**body(), "from_date": "2026-02-01T01:00:00+02:00", "to_date": "2026-02-03T23:00:00-05:00"},
)


def _each_role(method: str, path: str, **options: Any) -> list[SharedCall]:
    return [
        SharedCall(method, path, role=role, note=f"{method} {path} as {role}", **options)
        for role in ("op", "user", "viewer", "nobody", None)
    ]


CALLS: tuple[SharedCall, ...] = (
    *(
        SharedCall("GET", "/backfills", params={"dag_id": "etl", **query}, note=f"a list: {query}")
        for query in (
            {},
            {"limit": 0},
            {"limit": 1, "offset": 1},
            {"order_by": "-id"},
            {"order_by": "dag_id"},
            {"limit": -1},
            {"offset": "x"},
        )
    ),
    SharedCall("GET", "/backfills", params={"dag_id": "no_such_dag"}, note="of a DAG that nobody knows"),
    *(SharedCall("GET", f"/backfills/{number}") for number in ("1", "0", "4711", "-1", "one", "1e3")),
    *(SharedCall("POST", "/backfills", json=sent, note=kind) for kind, sent in REFUSED.items()),
    *(SharedCall("POST", "/backfills/dry_run", json=sent, note=kind) for kind, sent in REFUSED_DRY.items()),
    *(
        SharedCall("POST", path, json=sent, note=f"malformed: {sent}")
        for sent in MALFORMED
        for path in ("/backfills", "/backfills/dry_run")
    ),
    *(SharedCall("POST", "/backfills/dry_run", json=sent, note=f"a plan: {sent}") for sent in _PLANS),
    *(
        SharedCall("PUT", f"/backfills/{number}/{action}")
        for action in ("pause", "pause", "unpause", "unpause", "cancel")
        for number in ("1", "4711", "-1")
        if (action, number) != ("cancel", "1")
    ),
    *_each_role("GET", "/backfills", params={"dag_id": "etl"}),
    *_each_role("GET", "/backfills/1"),
    *_each_role("GET", "/backfills/4711"),
    *_each_role("POST", "/backfills", json=REFUSED["invalid-backfill-date"]),
    *_each_role("POST", "/backfills/dry_run", json=body()),
    *_each_role("PUT", "/backfills/1/unpause"),
    *_each_role("PUT", "/backfills/4711/cancel"),
)
