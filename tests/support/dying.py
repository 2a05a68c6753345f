"""A server that kills itself at a chosen moment of its first trigger: `python -m tests.support.dying MOMENT serve …`.

`committed`: the run is made, its answer not yet written. `claimed`: the call is claimed, nothing is made.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

MOMENTS = {
    "committed": ("airflow_rest_api.web.answers", "AnswerWriter.write"),
    "claimed": ("airflow_rest_api.services.runs.dag_run_creation", "_create"),
}


def die_at(moment: str) -> None:
    """Put the kill in the place of what would be done at that moment."""
    from unittest import mock

    module, name = MOMENTS[moment]
    known = __import__(module, fromlist=["x"])
    for part in name.split("."):
        known = getattr(known, part)

    def die(*given: Any, **named: Any) -> Any:
        if moment == "committed" and given[0]._operation.operation_id != "trigger_dag_run":
            return known(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit

    mock.patch(f"{module}.{name}", die).start()


if __name__ == "__main__":
    from airflow_rest_api import cli

    die_at(sys.argv[1])
    sys.exit(cli.main(sys.argv[2:]))
