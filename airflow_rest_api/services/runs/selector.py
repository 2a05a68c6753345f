"""Selectors: which runs an operation on many of them is about, as the body's `selector` says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.models.dag import DagTag
from airflow.models.dagrun import DagRun
from sqlalchemy import func, select
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import instants
from airflow_rest_api.services.caller import Permissions
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing

RunName = tuple[str, str]

DEFAULT_MOST = 1000
_RUN = DagRun.__table__
_TAG = DagTag.__table__


@dataclass(frozen=True)
class Selected:
    """The runs that were taken, oldest first, and how many of those that fit were not.

    ``left_out`` are of DAGs that the caller may not change, ``beyond_max_runs`` are more than were wanted.
    """

    runs: tuple[RunName, ...]
    left_out: int
    beyond_max_runs: int


def selected(
    selector: Mapping[str, Any], permissions: Permissions, *, states: Sequence[str], access_entity: str
) -> Selected:
    """Return the runs that fit the selector, of DAGs on whose ``access_entity`` the caller may use PUT.

    ``states`` are the runs' states where the selector names none. Opens sessions of its own, between which the
    auth manager is asked, which may open others.
    """
    conditions = _conditions({"states": states, **selector})
    counts = _counts(conditions)
    allowed = _allowed(counts, permissions, access_entity)
    most = selector.get("max_runs", DEFAULT_MOST)
    runs = _oldest(conditions, allowed, most) if allowed else ()
    fitting = sum(counts[dag_id] for dag_id in allowed)
    return Selected(
        runs,
        left_out=sum(counts.values()) - fitting,
        beyond_max_runs=fitting - len(runs) if len(runs) == most else 0,
    )


def _conditions(selector: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    times = {
        name: instants.parse(selector[name])
        for name in ("run_after_gte", "run_after_lte")
        if name in selector
    }
    return listing.conditions(
        {
            "states": _RUN.c.state.in_,
            "dag_id_pattern": listing.pattern(_RUN.c.dag_id),
            "tags": lambda tags: _RUN.c.dag_id.in_(select(_TAG.c.dag_id).where(_TAG.c.name.in_(tags))),
            "run_after_gte": lambda time: _RUN.c.run_after >= time,
            "run_after_lte": lambda time: _RUN.c.run_after <= time,
        },
        {**selector, **times},
    )


def _counts(conditions: Iterable[ColumnElement[bool]]) -> dict[str, int]:
    """Return how many runs fit, by DAG."""
    number = func.count().label("number")
    statement = select(_RUN.c.dag_id, number).where(*conditions).group_by(_RUN.c.dag_id)
    with reading() as session:
        return {row.dag_id: row.number for row in session.execute(statement)}


def _allowed(dag_ids: Collection[str], permissions: Permissions, access_entity: str) -> list[str]:
    """Return those of the DAGs that the caller may change: the scope says so at once for most, each one for sure."""
    scope = permissions.dag_scope("PUT")
    within = dag_ids if scope.everything else scope.dag_ids & set(dag_ids)
    return sorted(dag_id for dag_id in within if permissions.may_dag(dag_id, "PUT", access_entity))


def _oldest(
    conditions: Iterable[ColumnElement[bool]], dag_ids: Sequence[str], most: int
) -> tuple[RunName, ...]:
    statement = select(_RUN.c.dag_id, _RUN.c.run_id).where(*conditions, _RUN.c.dag_id.in_(dag_ids))
    with reading() as session:
        found = session.execute(statement.order_by(_RUN.c.run_after, _RUN.c.id).limit(most))
        return tuple((dag_id, run_id) for dag_id, run_id in found)
