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
    if not _is_there(found):
        raise ComponentNotRunning(component_name, instance, found)
    assert found is not None
    return found


def carry_out(request: Entry, report: Report) -> Rests[Entry]:
    """Stop a component, with all that it has started; return what is told of it then.

    Raises `ComponentStillAlive` and `Stopped`; what was asked to end, ends all the same.
    """
    name, instance, grace = request["component_name"], request["instance"], request["grace_seconds"]
    meant = registry().stop(name, instance, grace_seconds=grace)
    end, check = time.monotonic() + grace + KILL_SECONDS, 0.0
    while _is_there(found := registry().find(name, instance)):
        assert found is not None
        if found.state != "stopping" and found.started_at != meant.started_at:
            # It has ended, and somebody has started it again.
            return {**component_rows.process(meant), "state": "exited", "pid": None, "process_count": 0}
        if time.monotonic() >= check:
            _tell(report, found, done=0)
            if found.state != "stopping":
                # Those that were to end it have been killed.
                registry().stop(name, instance, grace_seconds=max(0.0, end - KILL_SECONDS - time.monotonic()))
            check = time.monotonic() + CHECK_SECONDS
        if time.monotonic() >= end:
            left = f"{found.processes} of its processes are there"
            raise ComponentStillAlive(
                f"{named(name, instance)} was killed, and {left}.", **component_rows.process(found)
            )
        yield LOOK_SECONDS
    if found is None:
        return {"instance": instance, "state": "exited"}
    _tell(report, found, done=1)
    return component_rows.process(found)


def item(supervised: Supervised) -> Entry:
    """Return what an operation tells of what it stops."""
    return {"component_name": supervised.component, **component_rows.process(supervised)}


def _is_there(found: Supervised | None) -> bool:
    return found is not None and (found.state not in ENDED or found.processes > 0)


def _tell(report: Report, found: Supervised, *, done: int) -> None:
    report.show([item(found)], done)
