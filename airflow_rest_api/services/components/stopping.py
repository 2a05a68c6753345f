"""Stopping: a component is asked to end, ended when it does not, and the operation ends when nothing of it is left."""

from __future__ import annotations

import time
from typing import Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.background import Rests
from airflow_rest_api.services.components import component_rows
from airflow_rest_api.services.components.places import registry
from airflow_rest_api.services.components.starting import CHECK_SECONDS, named
from airflow_rest_api.services.report import Report
from airflow_rest_api.supervision.registry import ENDED, Supervised

Entry = dict[str, Any]

KIND = "stop_component"
LOOK_SECONDS = 0.25
# How long after the grace is over all of it has to be gone.
KILL_SECONDS = 15.0


class ComponentNotRunning(errors.Conflict):
    """This service has not started the component here, or it has ended."""

    title = "The component does not run"

    def __init__(self, component_name: str, instance: str | None, found: Supervised | None) -> None:
        told = f"is '{found.state}'" if found is not None else "was not started on this host by this service"
        super().__init__(
            f"{named(component_name, instance)} {told}, so there is nothing to stop.",
            component_name=component_name,
            instance_name=instance,
        )


class ComponentStillAlive(errors.Unprocessable):
    """Something of the component is there after it was killed; the members are the operation's result."""

    title = "The component is still alive"


def require_running(component_name: str, instance: str | None) -> Supervised:
    """Return what runs. Raises `ComponentNotRunning`."""
    found = registry().find(component_name, instance)
    if found is None or not _is_there(found):
        raise ComponentNotRunning(component_name, instance, found)
    return found


def carry_out(request: Entry, report: Report) -> Rests[Entry]:
    """Stop a component, with all that it has started; return what is told of it then.

    Raises `ComponentStillAlive` and `Stopped`; what was asked to end, ends all the same.
    """
    name, instance, grace = request["component_name"], request["instance"], request["grace_seconds"]
    meant = last = registry().stop(name, instance, grace_seconds=grace)
    kill_at, check = time.monotonic() + grace, 0.0
    while (
        (found := registry().find(name, instance)) is not None and _is_of(meant, found) and _is_there(found)
    ):
        last = found
        if time.monotonic() >= kill_at + KILL_SECONDS:
            raise _still_alive(found)
        if time.monotonic() >= check:
            report.show([item(found)], 0)
            _ask_again(found, kill_at)
            check = time.monotonic() + CHECK_SECONDS
        yield LOOK_SECONDS
    if found is not None and _is_of(meant, found):
        last = found
    ended = {**component_rows.process(last), "state": "exited", "pid": None, "process_count": 0}
    report.show([{"component_name": name, **ended}], 1)
    return ended


def _is_of(meant: Supervised, found: Supervised) -> bool:
    """Tell whether this is what was to be stopped, and not what somebody has started after its end."""
    return found.started_at == meant.started_at or found.state == "stopping"


def _ask_again(found: Supervised, kill_at: float) -> None:
    """Ask once more: those that were to end it may have been killed themselves, and others know no such grace."""
    grace = max(0.0, kill_at - time.monotonic())
    registry().stop(found.component, found.instance, grace_seconds=grace)


def _still_alive(found: Supervised) -> ComponentStillAlive:
    return ComponentStillAlive(
        f"{named(found.component, found.instance)} was killed, and {found.processes} of its processes are there.",
        **component_rows.process(found),
    )


def item(supervised: Supervised) -> Entry:
    """Return what an operation tells of what it stops."""
    return {"component_name": supervised.component, **component_rows.process(supervised)}


def _is_there(found: Supervised) -> bool:
    return found.state not in ENDED or found.processes > 0
