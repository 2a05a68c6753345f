"""Component: Airflow's own processes: which run, here and anywhere; those of this host are started and stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, jobs, operation, retries
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.components import (
    catalogue,
    component_log,
    component_rows,
    permits,
    starting,
    stopping,
)
from airflow_rest_api.services.components.places import registry
from airflow_rest_api.services.components.recipe import Recipe
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.settings import Settings

Entry = dict[str, Any]

NDJSON = "application/x-ndjson"


def get_components(*, caller: Caller, settings: Settings) -> Entry:
    """List all components, whether they may be started here or not."""
    found = _rows(list(catalogue.RECIPES.values()), caller, settings)
    return {"components": found, "total_entries": len(found)}


def get_component(component_name: str, *, caller: Caller, settings: Settings) -> Entry:
    """Return one component. Raises `ComponentNotFound`."""
    (found,) = _rows([catalogue.find(component_name)], caller, settings)
    return found


def _rows(recipes: list[Recipe], caller: Caller, settings: Settings) -> list[Entry]:
    processes = registry().all()
    with reading() as session:
        alive = jobs.alive(session)
    return [
        component_rows.component(
            recipe, permits.why_not(recipe, settings, caller.permissions), processes, alive
        )
        for recipe in recipes
    ]


def start_component(
    component_name: str,
    *,
    query: Mapping[str, Any],
    body: Mapping[str, Any],
    caller: Caller,
    background: Background,
    settings: Settings,
) -> Entry:
    """Start a component on this host; return the operation that ends when it is alive.

    ``query`` has ``instance`` and ``dry_run``. Raises `ComponentNotFound`, `ComponentNotEnabled`, `ComponentUnfit`,
    `ComponentOptionUnknown`, `ComponentOptionRejected`, `ComponentRuns`, `TooManyInstances` and `ComponentNotStarted`.
    """
    recipe, instance = catalogue.find(component_name), query["instance"]
    permits.require_enabled(recipe, settings)
    permits.require_fit(recipe)
    wishes = recipe.whole(body.get("options") or {})

    def begun(request: Entry, session: Session) -> Entry:
        return operation.get(session, background.begin(session, starting.KIND, request, caller, total=1))

    if query["dry_run"]:
        starting.require_free(component_name, instance)
        entry = dry_runs.undone(lambda session: begun({}, session))
        return {**operation.of_dry_run(entry), "items": [starting.expected(recipe, instance, wishes)]}
    with starting.started(recipe, instance, wishes, restart=body.get("restart", False)) as supervised:
        request = starting.request_of(supervised, wishes)
        entry = write(lambda session: retries.done(session, begun(request, session)))
    background.run(entry["operation_id"])
    return entry


def stop_component(
    component_name: str,
    *,
    query: Mapping[str, Any],
    body: Mapping[str, Any],
    caller: Caller,
    background: Background,
    settings: Settings,
) -> Entry:
    """Stop what this service has started of a component on this host; return the operation.

    ``query`` has ``instance`` and ``dry_run``. Raises `ComponentNotFound`, `ComponentNotEnabled` and
    `ComponentNotRunning`.
    """
    recipe, instance = catalogue.find(component_name), query["instance"]
    permits.require_enabled(recipe, settings)
    found = stopping.require_running(component_name, instance)
    grace = body.get("grace_seconds", starting.GRACE_SECONDS)
    request = {"component_name": component_name, "instance": instance, "grace_seconds": grace}

    def begun(session: Session) -> Entry:
        return operation.get(session, background.begin(session, stopping.KIND, request, caller, total=1))

    if query["dry_run"]:
        return {**operation.of_dry_run(dry_runs.undone(begun)), "items": [stopping.item(found)]}
    entry = write(lambda session: retries.done(session, begun(session)))
    background.run(entry["operation_id"])
    return entry


def get_component_log(
    component_name: str,
    *,
    query: Mapping[str, Any],
    media_type: str | None,
    settings: Settings,
) -> str | bytes | component_log.ComponentLogSource:
    """Return the last lines that a component has written, as text or as messages; or a source of all that it will.

    ``query`` has ``instance``, ``tail`` (lines) and ``follow``. Raises `ComponentNotFound`, `ComponentNotEnabled` and
    `ComponentNeverStarted`.
    """
    recipe = catalogue.find(component_name)
    permits.require_enabled(recipe, settings)
    key, lines = (recipe.name, query["instance"]), query["tail"]
    if query["follow"]:
        return component_log.ComponentLogSource(key, lines)
    content = component_log.tail(key, lines).content
    if media_type == NDJSON:
        return component_log.as_messages(component_log.lines_of(content))
    return content.decode(errors="replace")
