"""A server that kills itself at a chosen moment: `python -m tests.support.dying MOMENT serve …`.

Of its first trigger `committed`: the run is made, its answer not yet written; `claimed`: the call is claimed, nothing
is made. Of its first backfill `half_made`: two runs are made, and the third is not.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import Any

MOMENTS = {
    "committed": ("airflow_rest_api.web.answers", "AnswerWriter.write"),
    "claimed": ("airflow_rest_api.services.runs.dag_run_creation", "_create"),
    "half_made": ("airflow.models.backfill", "_create_backfill_dag_run_non_partitioned"),
}


def die_at(moment: str) -> None:
    """Put the kill in the place of what would be done at that moment."""
    from unittest import mock

    module, name = MOMENTS[moment]
    known = __import__(module, fromlist=["x"])
    for part in name.split("."):
        known = getattr(known, part)

    runs = count(1)

    def die(*given: Any, **named: Any) -> Any:
        is_another = moment == "committed" and given[0]._operation.operation_id != "trigger_dag_run"
        if is_another or (moment == "half_made" and next(runs) < 3):
            return known(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit

    mock.patch(f"{module}.{name}", die).start()


if __name__ == "__main__":
    from airflow_rest_api import cli

    die_at(sys.argv[1])
    sys.exit(cli.main(sys.argv[2:]))
