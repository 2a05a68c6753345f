"""The service on its own server (uvicorn)."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from airflow_rest_api.services import configuration
from airflow_rest_api.storage import connections
from airflow_rest_api.web import app, logs
from airflow_rest_api.web.wire import HttpProtocol
from airflow_rest_api.web.worker_processes import Supervisor

# Files that a worker opens for anything but connections: the database, logs, child processes.
SPARE_FILES = 200


@dataclass(frozen=True)
class Options:
    """How to serve: `airflow-rest-api serve --help` describes each."""

    host: str
    port: int
    workers: int
    root_path: str
    log_level: str
    access_log: bool
    worker_start_timeout: int
    max_connections: int

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all options."""
        return [entry.name for entry in fields(cls)]


def create(*, looks_after_work: bool = True) -> ASGIApp:
    """Build the application for a process of its own; raises `StartError`."""
    configuration.be_a_server()
    connections.keep_open()
    return app.create_application(looks_after_work=looks_after_work)


def run(options: Options) -> int:
    """Serve until told to stop; return the exit status, 1 when the service cannot start."""
    try:
        # Also where workers build their own: an error is reported once, and not by each of them.
        application = create(looks_after_work=options.workers == 1)
    except app.StartError as fault:
        for line in fault.faults:
            sys.stderr.write(f"airflow-rest-api: {line}\n")
        return 1
    options = replace(options, max_connections=_allowed_connections(options.max_connections))
    if options.workers == 1:
        uvicorn.run(**uvicorn_options(options, application))
        return 0
    config = uvicorn.Config(**uvicorn_options(options, application))
    supervisor = Supervisor(config, [config.bind_socket()], options.worker_start_timeout)
    supervisor.run()
    return 1 if supervisor.has_failed else 0


def _allowed_connections(wanted: int) -> int:
    """Raise the limit of open files as far as necessary and possible; return how many connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    allowed = max(limit - SPARE_FILES, 1)
    if allowed < wanted:
        sys.stderr.write(
            f"airflow-rest-api: a limit of {limit} open files (ulimit -Hn) allows {allowed} connections, not {wanted}\n"
        )
    return min(wanted, allowed)


def uvicorn_options(options: Options, application: ASGIApp) -> dict[str, Any]:
    """Return the options of uvicorn to serve this application, which several workers build themselves."""
    is_alone = options.workers == 1
    return {
        "app": application if is_alone else f"{__name__}:{create.__name__}",
        "factory": not is_alone,
        "host": options.host,
        "port": options.port,
        "workers": options.workers,
        "root_path": options.root_path,
        "log_config": logs.of_server(),
        "log_level": options.log_level,
        "access_log": options.access_log,
        "http": partial(HttpProtocol, most_connections=options.max_connections),
        "ws": "none",
        # Everything was built above; nothing depends on the events of a lifespan, which Airflow never sends.
        "lifespan": "on",
        "server_header": False,
        "timeout_graceful_shutdown": 30,
        # Of a worker that replaces another one on SIGHUP.
        "timeout_worker_healthcheck": options.worker_start_timeout,
    }
