"""What tests of old calls that run tasks share: how an answer is read, and what a scheduler would do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import update

from airflow_rest_api.services.database import unit_of_work


def printed(answer):
    """What a command printed: stdout and stderr."""
    assert (answer.status_code, answer.json().get("status")) == (200, "OK"), answer.text
    output = answer.json()["output"]
    assert (set(output), output["stdin"]) == ({"stdout", "stderr", "stdin"}, "")
    return output["stdout"], output["stderr"]


def refused(answer):
    """The status and the text of a call that was refused as a whole."""
    told = answer.json()
    assert (told["status"], told["http_response_code"]) == ("ERROR", answer.status_code)
    return answer.status_code, told["output"]


def states(rest, run):
    found = rest.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {entry["task_id"]: entry["state"] for entry in found}


@contextmanager
def meanwhile(change):
    """Do something while somebody waits."""
    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change)
        yield
        changed.result()


def until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def set_state(run, task_id, state):
    from airflow.models.taskinstance import TaskInstance

    of_task = (TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.dag_run_id)
    with unit_of_work() as session:
        session.execute(
            update(TaskInstance).where(*of_task, TaskInstance.task_id == task_id).values(state=state)
        )
