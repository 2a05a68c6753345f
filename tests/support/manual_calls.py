"""The calls that the manuals of the old plugins show, with the answers that they print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import clients, curl, environment, manuals, parser, runs

HEADER = "rest_api_plugin_http_token"
FOLDER = environment.ROOT / "tests" / "support" / "manual_dags"
# Of one run the manual shows three calls, each of which needs other states: what is in it before the call.
STATES_FOR = {
    "task_instance_detail": ("success", {"task_test": "success"}),
    "restart_failed_task": (
        "failed",
        {
            **{f"task_test{end}": "failed" for end in ("", "_2")},
            **{f"task_test_{number}": "upstream_failed" for number in range(3, 7)},
        },
    ),
    "kill_running_tasks": ("running", {"task_test": "running"}),
    "skip_task_instance": ("running", {}),
}
# These make the run that they name.
MAKES_ITS_RUN = {"run_task_instance", "trigger_dag"}
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
JSON = {"Content-Type": "application/json"}
LOGIN = '{"username":"somebody", "password":"secret", "refresh":true, "provider": "db"}'


def got(arguments: str, answer: Any, door: str = E, **options: Any) -> manuals.Shown:
    return manuals.Shown(curl.Curl("GET", f"{door}?{arguments}", **options), answer)


def posted(name: str, answer: Any, *fields: tuple[str, str]) -> manuals.Shown:
    return manuals.Shown(curl.Curl("POST", f"{E}?api={name}", fields=fields), answer)


TABLE = [
    manuals.Shown(curl.Curl("POST", "/api/v1/security/login", JSON, LOGIN), TOKENS),
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
    posted("deploy_dag", DEPLOYED, ("dag_file", "@dag_test.py"), ("force", "on"), ("unpause", "true")),
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
    got("api=trigger_dag&dag_id=test_id&run_id=run_id_2016_01_01&conf=%7B%22key%22%3A%22value%22%7D", None),
]


def arrange(rest: clients.Client, drafts: Path, sent: Mapping[str, str]) -> None:
    """Make the DAGs of the manuals, and the run that a call names in the state that the call needs."""
    for path in FOLDER.glob("*.py"):
        if rest.get(f"/dags/{path.stem}").status_code == 404:
            (drafts / path.name).write_bytes(path.read_bytes())
            parser.parse(drafts, path.name, 0.1, environment.DRAFTS)
    if not (run_id := sent.get("run_id")):
        return
    dag_id, name = sent["dag_id"], sent["api"]
    rest.delete(f"/dags/{dag_id}/dagRuns/{run_id}")
    if name not in MAKES_ITS_RUN:
        state, tasks = STATES_FOR.get(name, ("success", {}))
        runs.new_run(dag_id, run_id=run_id, state=state, task_states=tasks)
