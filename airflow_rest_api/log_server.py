"""Log server: `python -m airflow_rest_api.log_server` serves the logs of the tasks that ran on this host.

Airflow's own `serve_logs` (`airflow.utils.serve_logs`, 3.3) listens on all addresses, and has no command any more. What
is served is the same application: one file at a time, to whoever holds a token that Airflow has signed for that file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import uvicorn
from airflow.configuration import conf

_APPLICATION = "airflow.utils.serve_logs.log_server:get_app"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(
        prog="log_server", description="Serve the logs of tasks that ran on this host.", allow_abbrev=False
    )
    parser.add_argument("--host", default="127.0.0.1", help="the name or address to listen on")
    parser.add_argument(
        "--port",
        type=int,
        default=conf.getint("logging", "worker_log_server_port"),
        help="the port to listen on; without it [logging] worker_log_server_port",
    )
    wishes = parser.parse_args(arguments)
    uvicorn.run(
        _APPLICATION, factory=True, host=wishes.host, port=wishes.port, access_log=False, server_header=False
    )


if __name__ == "__main__":
    main()
