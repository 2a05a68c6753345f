"""The service on its own server (uvicorn)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

import uvicorn
from starlette.types import ASGIApp

from airflow_rest_api.services import configuration
from airflow_rest_api.storage import connections
from airflow_rest_api.web import app, logs
from airflow_rest_api.web.wire import HttpProtocol


@dataclass(frozen=True)
class Options:
    """How to serve: `airflow-rest-api serve --help` describes each."""

    host: str
    port: int
    workers: int
    root_path: str
    log_level: str
    access_log: bool

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all options."""
        return [entry.name for entry in fields(cls)]


def create() -> ASGIApp:
    """Build the application for a process of its own; raises `StartError`."""
    configuration.be_a_server()
    connections.keep_open()
    return app.create_application(looks_after_work=True)


def run(options: Options) -> int:
    """Serve until told to stop; return the exit status, 1 when the service cannot start."""
    try:
        application = create()
    except app.StartError as fault:
        for line in fault.faults:
            sys.stderr.write(f"airflow-rest-api: {line}\n")
        return 1
    target: str | ASGIApp = application if options.workers == 1 else f"{__name__}:{create.__name__}"
    uvicorn.run(
        target,
        factory=options.workers != 1,
        host=options.host,
        port=options.port,
        workers=options.workers,
        root_path=options.root_path,
        log_config=logs.of_server(),
        log_level=options.log_level,
        access_log=options.access_log,
        http=HttpProtocol,
        ws="none",
        # Everything was built above; nothing depends on the events of a lifespan, which Airflow never sends.
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    return 0
