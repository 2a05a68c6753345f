"""DAGs: what Airflow knows of them, and whether they are paused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dag_favorite import DagFavorite
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.state import DagRunState
from sqlalchemy import bindparam, exists, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select, Update

from airflow_rest_api.services import dag_version, errors, stored_json
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_filters, dag_rows, structure
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.services.states import Precondition, Stated

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

Entry = dict[str, Any]

_DAG = DagModel.__table__
_ANY = dag_rows.statement().where(_DAG.c.dag_id == bindparam("dag_id"))
_SERIALISED = _ANY.where(
    exists()
    .where(DagVersion.__table__.c.dag_id == _DAG.c.dag_id)
    .where(SerializedDagModel.__table__.c.dag_version_id == DagVersion.__table__.c.id)
)
_IS_FAVOURITE = exists().where(
    DagFavorite.__table__.c.dag_id == _DAG.c.dag_id,
    DagFavorite.__table__.c.user_id == bindparam("user_id"),
)
_RUNNING = (
    select(func.count())
    .select_from(DagRun.__table__)
    .where(DagRun.__table__.c.dag_id == _DAG.c.dag_id, DagRun.__table__.c.state == DagRunState.RUNNING)
    .scalar_subquery()
)
_DETAILED = _ANY.add_columns(stored_json.column(_DAG.c.asset_expression), _IS_FAVOURITE, _RUNNING)


def get_dags(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the DAGs that the caller may read."""
    scope = caller.permissions.dag_scope("GET")
    conditions = dag_filters.listed(query, scope, caller.id)
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    keys = dag_filters.SORTING.keys(query["order_by"])

    def narrowed(statement: Any) -> Any:
        return dag_filters.with_latest_run(statement.where(*conditions), query, scope)

    with reading() as session:
        page = ordering.ordered(narrowed(dag_rows.statement()), keys).limit(limit).offset(offset)
        rows = session.execute(page).all()
        every = narrowed(select(_DAG.c.dag_id))
        total = listing.page_total(session, every, found=len(rows), limit=limit, offset=offset)
        return {"dags": dag_rows.entries(session, rows), "total_entries": total}


def get_dag(dag_id: str) -> Stated:
    """Return a DAG; raises `DagNotFound`, also for one that was never serialised."""
    with reading() as session:
        return _stated(_one(session, _SERIALISED, dag_id))


def is_known(dag_id: str) -> bool:
    """Tell whether Airflow knows a DAG of this id."""
    with reading() as session:
        return session.scalar(select(_DAG.c.dag_id).where(_DAG.c.dag_id == dag_id)) is not None


def get_dag_details(dag_id: str, *, caller: Caller) -> Entry:
    """Return a DAG with what only its serialised form and its runs tell; raises `DagNotFound`."""
    with reading() as session:
        serialised = structure.derived(dag_id, session, _serialised_details)
        row = _row(session, _DETAILED, dag_id, user_id=caller.id)
        entry = dag_rows.entries(session, [row])[0]
        version = dag_version.latest(session, dag_id)
    computed = {name: entry.pop(name) for name in ("is_backfillable", "file_token")}
    expression, is_favourite, running = row[dag_rows.WIDTH :]
    return {
        **entry,
        **serialised,
        "asset_expression": expression,
        # /api/v2 answers the moment at which it read the DAG from the database, which is always now.
        "last_parsed": entry["last_parsed_time"],
        "is_favorite": is_favourite,
        "active_runs_count": running,
        **computed,
        "concurrency": entry["max_active_tasks"],
        "latest_dag_version": version,
    }


def patch_dag(dag_id: str, *, is_paused: bool, precondition: Precondition) -> Stated:
    """Pause a DAG or let it run; raises `DagNotFound`, and `StateChanged` where the precondition does not hold."""

    def work(session: Session) -> Stated:
        if precondition:
            precondition.require(locked(session, dag_id))
        # Written first: on SQLite a transaction that read before can lose against another writer, and is retried.
        session.execute(_pausing(is_paused).where(DagModel.dag_id == dag_id))
        return _stated(_one(session, _ANY, dag_id))

    return write(work)


def locked(session: Session, dag_id: str) -> tuple[Any, ...]:
    """Return the state of a DAG with its row locked until the unit of work ends; raises `DagNotFound`."""
    is_paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id).with_for_update())
    if is_paused is None:
        raise errors.DagNotFound(dag_id)
    return dag_id, bool(is_paused)


def _stated(entry: Entry) -> Stated:
    """Return a DAG with its state: whether it is paused is all that callers can change."""
    return Stated(entry, (entry["dag_id"], bool(entry["is_paused"])))


def patch_dags(*, query: Mapping[str, Any], is_paused: bool, caller: Caller) -> Entry:
    """Pause all DAGs that the query chooses and the caller may change, or let them run; answer a page."""
    conditions = dag_filters.chosen(query, caller.permissions.dag_scope("PUT"))
    limit, offset = listing.page_limit(query["limit"]), query["offset"]

    def work(session: Session) -> Entry:
        every = select(DagModel.dag_id).where(*conditions).order_by(DagModel.dag_id).with_for_update()
        dag_ids = session.scalars(every).all()
        session.execute(_pausing(is_paused).where(*conditions))
        page = dag_rows.statement().where(DagModel.dag_id.in_(dag_ids[offset : offset + limit]))
        rows = session.execute(page.order_by(DagModel.dag_id)).all()
        return {"dags": dag_rows.entries(session, rows), "total_entries": len(dag_ids)}

    return write(work)


def _pausing(is_paused: bool) -> Update:
    return update(DagModel).values(is_paused=is_paused).execution_options(synchronize_session=False)


def _one(session: Session, statement: Select[Any], dag_id: str) -> Entry:
    return dag_rows.entries(session, [_row(session, statement, dag_id)])[0]


def _row(session: Session, statement: Select[Any], dag_id: str, **further: Any) -> Any:
    row = session.execute(statement, {"dag_id": dag_id, **further}).one_or_none()
    if row is None:
        raise errors.DagNotFound(dag_id)
    return row


def _serialised_details(dag: SerializedDAG) -> Entry:
    return {
        "catchup": dag.catchup,
        "dag_run_timeout": structure.plain(dag.dagrun_timeout),
        "asset_expression": None,
        "doc_md": None if dag.doc_md is None else inspect.cleandoc(dag.doc_md),
        "start_date": structure.instant(dag.start_date),
        "end_date": structure.instant(dag.end_date),
        "is_paused_upon_creation": dag.is_paused_upon_creation,
        "params": structure.params(dag),
        "render_template_as_native_obj": dag.render_template_as_native_obj,
        "template_search_path": structure.plain(dag.template_searchpath),
        # The installation's, as in /api/v2: the DAG's own is in its `start_date`.
        "timezone": str(settings.TIMEZONE),
        "last_parsed": None,
        "default_args": structure.plain(dag.default_args),
        "rerun_with_latest_version": dag.rerun_with_latest_version,
        "owner_links": structure.plain(dag.owner_links),
    }
