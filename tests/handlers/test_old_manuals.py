"""Every call that the manuals of the old plugins show is answered as they print it.

The calls stand in a table below. Where the environment variable `OLD_MANUALS` names a folder with the manuals
themselves, they are read and sent from there as well, as they are printed but for hosts, tokens and logins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.conftest import application, in_process
from tests.support import curl, environment, manuals, parser, runs, template

pytestmark = [pytest.mark.in_process, pytest.mark.xdist_group("manuals")]

HEADER = "rest_api_plugin_http_token"
HEADER_TOKEN = "token-of-the-manuals"
FOLDER = environment.ROOT / "tests" / "support" / "manual_dags"
# Both plugins had these, and answer here as the plugin of the address unless a dialect is set.
OF_BOTH = {"deploy_dag", "refresh_all_dags"}
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000"
TOKEN = r"[\w-]+\.[\w-]+\.[\w-]+"
SENT_FILES = {
    "dag_test.py": (FOLDER / "dag_test.py").read_bytes(),
    "dag_test.txt": b"weights\n",
}
STATES = {
    "manual__2020-10-28T17:36:28.838356+00:00": ("success", {}),
    "manual__2020-10-28T16:15:19.427214+00:00": ("success", {}),
    "manual__2020-10-28T17:43:10.053716+00:00": ("running", {}),
}
# Of one run the manual shows three calls, each of which needs other states: what the tasks are in before it.
STATES_FOR = {
    "task_instance_detail": ("success", {"task_test": "success"}),
    "restart_failed_task": ("failed", {"task_test": "failed", "task_test_2": "failed"}),
    "kill_running_tasks": ("running", {"task_test": "running"}),
}
E = "/admin/rest_api/api"
RUN = "manual__2020-10-28T16%3A31%3A17.247035%2B00%3A00"
OF_RUN = f"dag_id=dag_test&run_id={RUN}"
OK = {"status": "success"}
DETAIL = {
    "taskId": "task_test",
    "dagId": "dag_test",
    "state": "success",
    "tryNumber": None,
    "maxTries": None,
    "startDate": "2020-10-28T16:31:57.882329+0000",
    "endDate": "2020-10-28T16:31:57.882329+0000",
    "duration": None,
    **OK,
}
STATE = {
    "state": "success",
    "startDate": "2020-10-28T16:15:19.436693+0000",
    "endDate": "2020-10-28T16:21:36.245696+0000",
    **OK,
}
EXECUTION = {"execution_date": "2020-10-28T17:39:14.941060+0000", **OK}
DEPLOYED = {
    "message": "DAG File [<module 'module.name' from '/old/dags/dag_test.py'>] has been uploaded",
    **OK,
}
UPLOADED = {"message": "File [/old/dags/dag_test.txt] has been uploaded", **OK}
VERSION = {
    "airflow_cmd": "airflow version",
    "arguments": {},
    "call_time": "Tue, 29 Nov 2016 14:22:26 GMT",
    "output": "1.7.0",
    "response_time": "Tue, 29 Nov 2016 14:27:59 GMT",
    "status": "OK",
}
REFUSED = {
    "call_time": "{TIMESTAMP}",
    "output": "Token Authentication Failed",
    "response_time": "{TIMESTAMP}",
    "status": "ERROR",
}
TOKENS = {"access_token": "a.b.c", "refresh_token": "a.b.c"}
LOGIN = '{"username":"somebody", "password":"secret", "refresh":true, "provider": "db"}'


def got(arguments: str, answer: Any, door: str = E, **options: Any) -> manuals.Shown:
    return manuals.Shown(curl.Curl("GET", f"{door}?{arguments}", **options), answer)


def posted(name: str, answer: Any, *fields: tuple[str, str]) -> manuals.Shown:
    return manuals.Shown(curl.Curl("POST", f"{E}?api={name}", fields=fields), answer)


TABLE = [
    manuals.Shown(curl.Curl("POST", "/api/v1/security/login", data=LOGIN), TOKENS),
    manuals.Shown(
        curl.Curl("POST", "/api/v1/security/refresh", {"Authorization": "Bearer a.b.c"}),
        {"access_token": "a.b.c"},
    ),
    got(
        "api=dag_state&dag_id=dag_test&run_id=manual__2020-10-28T17%3A36%3A28.838356%2B00%3A00",
        STATE,
        "/rest_api/api",
        headers={"Authorization": "Bearer a.b.c"},
    ),
    posted(
        "deploy_dag", DEPLOYED, ("dag_file", "@dag_test.py"), ("force", "on"), ("unpause", "true")
    ),
    got("api=refresh_all_dags", {"message": "All DAGs are now up to date", **OK}),
    got("api=delete_dag&dag_id=dag_test", {"message": "DAG [dag_test] deleted", **OK}),
    posted("upload_file", UPLOADED, ("file", "@dag_test.txt"), ("force", "on")),
    got("api=dag_state&dag_id=dag_test&run_id=manual__2020-10-28T16%3A15%3A19.427214%2B00%3A00", STATE),
    got(f"api=task_instance_detail&{OF_RUN}&task_id=task_test", DETAIL),
    got(f"api=restart_failed_task&{OF_RUN}", {"failed_task_count": 2, "clear_task_count": 6, **OK}),
    got(f"api=kill_running_tasks&{OF_RUN}&task_id=task_test", OK),
    posted(
        "run_task_instance",
        EXECUTION,
        ("dag_id", "dag_test"),
        ("run_id", "manual__2020-10-28T17:36:28.838356+00:00"),
        ("tasks", "task_test_3,task_test_4,task_test_6"),
    ),
    got(
        "api=skip_task_instance&dag_id=dag_test&run_id=manual__2020-10-28T17%3A43%3A10.053716%2B00%3A00"
        "&task_id=task_test_2",
        OK,
    ),
    got("api=version", VERSION, headers={HEADER: "the-token"}),
    got("api=version", VERSION),
    got("api=trigger_dag&dag_id=test_id", None),
    got(
        "api=trigger_dag&dag_id=test_id&run_id=run_id_2016_01_01&conf=%7B%22key%22%3A%22value%22%7D", None
    ),
]
