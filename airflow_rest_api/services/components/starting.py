"""Starting: a component is started at the request, and an operation tells when it is really alive.

It is started before the operation is stored: of two callers one gets it, the other one is refused at once. What is
left of a call that dies between the two is a process that everybody sees, and whose second start is refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.background import Rests
from airflow_rest_api.services.components import catalogue, component_rows
from airflow_rest_api.services.components.places import registry
from airflow_rest_api.services.components.recipe import Recipe, Wishes, shown
from airflow_rest_api.services.report import Report
from airflow_rest_api.supervision.registry import (
    ENDED,
    AlreadyRunning,
    NotStarted,
    Order,
    Supervised,
    Unknown,
)

Entry = dict[str, Any]

KIND = "start_component"
# How long a process is given to end by itself before it is killed.
GRACE_SECONDS = 30.0
LOG_BYTES, LOG_FILES = 10 << 20, 5
# So many at once of one component: each is a whole Airflow. And so many names: what has ended keeps its log.
MOST_INSTANCES, MOST_NAMES = 16, 64
LOOK_SECONDS = 0.5
# How often a look at whether the operation was cancelled is due.
CHECK_SECONDS = 2.0
LAST_LINES = 40
# What is about the server that this service runs in, and would mislead the next one.
_OWN_VARIABLES = ("AIRFLOW_API_APPS", "_AIRFLOW_PROCESS_CONTEXT", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET")


class ComponentRuns(errors.Conflict):
    """This service has started the component before, and it has not ended."""

    title = "The component runs already"

    def __init__(self, found: Supervised) -> None:
        super().__init__(
            f"{named(found.component, found.instance)} is '{found.state}' already; stop it first, or start another one"
            " with instance.",
            component_name=found.component,
            instance_name=found.instance,
            state=found.state,
            pid=found.pid,
        )


class TooManyInstances(errors.Conflict):
    """So many instances of the component run, or have left their logs, that one more is hardly meant."""

    title = "Too many instances"

    def __init__(self, component_name: str, told: str) -> None:
        super().__init__(
            f"Of the component '{component_name}' {told}.",
            component_name=component_name,
        )


class ComponentNotStarted(errors.Unprocessable):
    """This host has no process for the component, or no room for what is kept of it."""

    title = "The component could not be started"

    def __init__(self, component_name: str, instance: str | None, why: str) -> None:
        super().__init__(
            f"{named(component_name, instance)} could not be started: {why}.",
            component_name=component_name,
            instance_name=instance,
        )


class ComponentNotAlive(errors.Unprocessable):
    """What was started has ended, or has given no sign of life in time; the members are the operation's result."""

    title = "The component is not alive"


def named(component_name: str, instance: str | None) -> str:
    """Return how a sentence calls what it is about."""
    of_it = f"The instance '{instance}' of the component" if instance else "The component"
    return f"{of_it} '{component_name}'"


def require_free(component_name: str, instance: str | None) -> None:
    """Raise `ComponentRuns` or `TooManyInstances` unless one more may be started."""
    known = {one.instance: one for one in registry().all() if one.component == component_name}
    running = [one for one in known.values() if one.state not in ENDED]
    for one in running:
        if one.instance == instance:
            raise ComponentRuns(one)
    if len(running) >= MOST_INSTANCES:
        raise TooManyInstances(component_name, f"{len(running)} instances run here; stop one first")
    if instance not in known and len(known) >= MOST_NAMES:
        raise TooManyInstances(
            component_name, f"there were {len(known)} instances here; take the name of one that has ended"
        )


def expected(recipe: Recipe, instance: str | None, wishes: Wishes) -> Entry:
    """Return what would be started."""
    return {
        "component_name": recipe.name,
        "instance": instance,
        "state": "starting",
        "command": shown(recipe.argv(wishes)),
    }


@contextmanager
def started(recipe: Recipe, instance: str | None, wishes: Wishes, *, restart: bool) -> Iterator[Supervised]:
    """Start a component; what goes wrong inside ends it again.

    What a call with the same key has started that died before it could store its operation is not started again.
    Raises `ComponentRuns` and `TooManyInstances`.
    """
    found = registry().find(recipe.name, instance) if retries.is_taken_over() else None
    if found is not None and found.state not in ENDED and found.argv == recipe.argv(wishes):
        yield found
        return
    require_free(recipe.name, instance)
    supervised = _start(recipe, instance, wishes, restart=restart)
    try:
        yield supervised
    except BaseException:
        registry().stop(recipe.name, instance, grace_seconds=0)
        raise


def _start(recipe: Recipe, instance: str | None, wishes: Wishes, *, restart: bool) -> Supervised:
    order = Order(
        component=recipe.name,
        instance=instance,
        argv=recipe.argv(wishes),
        environment={**_environment(), **recipe.environment()},
        restart=restart,
        grace_seconds=GRACE_SECONDS,
        log_bytes=LOG_BYTES,
        log_files=LOG_FILES,
        whole_group=recipe.whole_group,
    )
    try:
        return registry().start(order)
    except AlreadyRunning:
        # The look before came too early, or what it would find now is gone.
        require_free(recipe.name, instance)
        raise
    except NotStarted as fault:
        raise ComponentNotStarted(recipe.name, instance, str(fault)) from fault


def _environment() -> Mapping[str, str]:
    """Return this service's own environment, without what is about its own server."""
    return {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}


def request_of(supervised: Supervised, wishes: Wishes) -> Entry:
    """Return what the work has to know of what was started."""
    return {
        "component_name": supervised.component,
        "instance": supervised.instance,
        "options": dict(wishes),
    }


def follow(request: Entry, report: Report) -> Rests[Entry]:
    """Wait until what was started is alive; return what is told of it then.

    Raises `ComponentNotAlive` and `Stopped`.
    """
    recipe = catalogue.find(request["component_name"])
    end = time.monotonic() + recipe.ready_seconds
    check = 0.0
    while True:
        found = registry().find(request["component_name"], request["instance"])
        is_alive = (
            found is not None and found.state == "running" and recipe.is_ready(found, request["options"])
        )
        if time.monotonic() >= check or is_alive:
            _tell(report, request, found, done=int(is_alive))
            check = time.monotonic() + CHECK_SECONDS
        if is_alive:
            assert found is not None
            return component_rows.process(found)
        if found is None or found.state in ENDED:
            return _ended(recipe, request, found, report)
        if time.monotonic() >= end:
            raise _not_alive(
                request, found, f"has given no sign of life within {recipe.ready_seconds:.0f} s", report
            )
        yield LOOK_SECONDS


def _ended(recipe: Recipe, request: Entry, found: Supervised | None, report: Report) -> Entry:
    """Return what is told of a component that had to do so much and no more, and has; raises `ComponentNotAlive`."""
    if found is not None and found.exit_code == 0 and recipe.ends(request["options"]):
        _tell(report, request, found, done=1)
        return component_rows.process(found)
    code = found.exit_code if found is not None else None
    told = "has ended" if code is None else f"has ended with {code}"
    raise _not_alive(request, found, told, report)


def _not_alive(request: Entry, found: Supervised | None, what: str, report: Report) -> ComponentNotAlive:
    _tell(report, request, found, done=1)
    report.text(_last_lines(request))
    way_out = "; stop_component ends it" if found is not None and found.state not in ENDED else ""
    members = component_rows.process(found) if found is not None else {}
    name = named(request["component_name"], request["instance"])
    return ComponentNotAlive(f"{name} {what}; the log tells more{way_out}.", **members)


def _last_lines(request: Entry) -> str:
    """Return the end of what the component has written since it was started."""
    name, instance = request["component_name"], request["instance"]
    try:
        part = registry().read_log(name, instance, tail_lines=LAST_LINES)
    except Unknown:
        return ""
    found = registry().find(name, instance)
    before = max(0, found.log_offset - part.offset) if found is not None else 0
    # A database takes no NUL.
    return part.content[before:].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _tell(report: Report, request: Entry, found: Supervised | None, *, done: int) -> None:
    item = (
        component_rows.process(found)
        if found is not None
        else {"instance": request["instance"], "state": "exited"}
    )
    report.show([{"component_name": request["component_name"], **item}], done)
