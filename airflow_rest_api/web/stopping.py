"""Stopping: whether the server of this process was asked to stop."""

from __future__ import annotations

import signal

from airflow_rest_api.services import errors


class Stopping(errors.Unavailable):
    """The server stopped before a request had ended."""

    title = "The service is stopping"

    def __init__(self) -> None:
        super().__init__(
            "The service is stopping and did not wait for the end of this request. A change may have been made or may"
            " still be made; look at the object before you repeat the request.",
            retry_after=5,
        )


def is_stopping() -> bool:
    """Return whether uvicorn, which handles the signals of its process, was asked to stop.

    It waits for every response to end and does not notify the application. Standalone it waits for 30 seconds, in
    Airflow's API server for two minutes.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))
