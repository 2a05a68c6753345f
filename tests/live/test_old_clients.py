"""A client as people wrote it for the old plugin: it triggers, takes the date out of the text, and polls by it."""

from __future__ import annotations

import json
import re
import time

import pytest
import requests

# Nothing here depends on the locks of the database.
DATABASES = ("sqlite",)
pytestmark = pytest.mark.timeout(240)


def test_a_client_triggers_a_run_and_polls_until_it_has_ended(live):
    address = f"{live.url}/admin/rest_api/api"
    headers = {"Authorization": f"Bearer {token(live)}"}

    def call(**arguments):
        answer = requests.get(address, params=arguments, headers=headers, timeout=60).json()
        assert answer["http_response_code"] == 200, answer
        if answer["status"] == "ERROR" or answer["output"]["stderr"]:
            raise AssertionError(answer)
        return answer

    conf = json.dumps({"name": "a + b & c"})
    triggered = call(api="trigger_dag", dag_id="basic", conf=conf)
    found = re.search(r"Created <DagRun basic @ (.+?): ", triggered["output"]["stdout"])
    date = found.group(1) if found else triggered["response_time"]
    deadline = time.monotonic() + 90
    while True:
        state = call(api="dag_state", dag_id="basic", execution_date=date)["output"]["stdout"].rstrip()
        if state in ("success", "failed"):
            break
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
    assert state == "success"
    run_id = re.search(r": (manual__\S+), externally triggered: True>", triggered["output"]["stdout"]).group(
        1
    )
    assert live.run("basic", run_id)["conf"] == json.loads(conf)
    tasks = call(api="task_state", dag_id="basic", task_id="second", execution_date=date)
    assert tasks["output"]["stdout"].rstrip() == "success"


def token(live):
    """A token of the old login."""
    login = {"username": "admin", "password": "admin-password", "provider": "db"}
    answer = requests.post(f"{live.url}/api/v1/security/login", json=login, timeout=60)
    return answer.json()["access_token"]
