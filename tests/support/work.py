"""Background work in a process of its own, which a test can kill: `python -m tests.support.work SECONDS SAFE`.

Begins an operation of the kind `count_up` as the admin, prints its id, and works on it until it is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from airflow_rest_api.services import background
from airflow_rest_api.services.background import Background, Kind
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import write
from airflow_rest_api.services.report import Report
from tests.support import environment

KIND = "count_up"


def admin() -> Caller:
    from airflow_rest_api.security import access, auth_manager

    return access.caller_of(auth_manager.user_by_name("admin"))


def count_up(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Count to what the request says, with a pause of `seconds` after each number."""
    report.expect(request["to"])
    for number in range(request["to"]):
        report.item(number=number)
        report.line(f"counted {number}")
        time.sleep(request.get("seconds", 0))
    return {"last": request["to"] - 1}


def begin(carrier: Background, caller: Caller, **request: Any) -> str:
    """Begin to count in the background; return the operation's id."""
    operation_id = write(lambda session: carrier.begin(session, KIND, request, caller))
    carrier.run(operation_id)
    return operation_id


@contextmanager
def process(lease: float, safe: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start this module as a process that works on an operation; give the process and the operation's id.

    `lease` is in seconds; `safe` says that the work may be taken over.
    """
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__, str(lease), safe],
        cwd=environment.ROOT,
        env={**os.environ, "PYTHONPATH": str(environment.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    try:
        told = (line.strip() for line in started.stdout)
        operation_id = next((line for line in told if len(line) == len(str(uuid4()))), None)
        assert operation_id is not None, "the process has ended"
        yield started, operation_id
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def main() -> None:
    from airflow.api_fastapi.app import init_auth_manager

    init_auth_manager()
    background.LEASE = timedelta(seconds=float(sys.argv[1]))
    background.RENEW_SECONDS = float(sys.argv[1]) / 3
    carrier = Background({KIND: Kind(count_up, is_safe=sys.argv[2] == "safe")})
    sys.stdout.write(begin(carrier, admin(), to=1000, seconds=0.2) + "\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main()
