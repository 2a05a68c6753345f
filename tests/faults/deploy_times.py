"""Deploy times: how long it takes until Airflow serves what was deployed, with a DAG processor and default settings."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.support import processor
from tests.support.deployments import dag_file

# Airflow left alone looks for new files every 300 seconds, and drops what changes again within 30.
MOST_SECONDS = 3.0
# Other tests that run beside it take both cores.
MOST_SECONDS_BESIDE_OTHERS = 15.0


def run(full: bool) -> dict[str, object]:
    """Deploy one file 20 times in a row (quick: 4), each time to its being live."""
    number, most = (20, MOST_SECONDS) if full else (4, MOST_SECONDS_BESIDE_OTHERS)
    with (
        tempfile.TemporaryDirectory(prefix="airflow-deploy-times-") as folder,
        processor.running(Path(folder)) as life,
    ):
        one(life, 0)  # the sandbox starts with the first one
        seconds = sorted(one(life, count) for count in range(1, number + 1))
    median = statistics.median(seconds)
    assert median <= most, f"half of the deployments took longer than {median:.1f} s"
    return {
        "deployments": number,
        "p50 seconds": round(median, 2),
        "longest seconds": round(seconds[-1], 2),
    }


def one(life: processor.Life, number: int) -> float:
    """Deploy a change and return the seconds until it is live."""
    data = dag_file("timed", number, task=f"work_{number}")
    form = {
        "dag_file": ("timed.py", data),
        "bundle_name": (None, processor.BUNDLE),
        "force": (None, "true"),
    }
    begun = time.monotonic()
    answer = life.rest.post("/deployments", files=form)
    assert answer.status_code == 201, answer.text
    path = f"/deployments/{answer.json()['deployment_id']}"
    end = life.rest.get(path, params={"wait": 60}).json()
    assert end["state"] == "live", end
    seconds = time.monotonic() - begun
    assert life.rest.get("/dagSources/timed").json()["content"].encode() == data
    return seconds
