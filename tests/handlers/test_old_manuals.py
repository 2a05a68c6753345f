"""Every call that the manuals of the old plugins show is answered as they print it.

The calls stand in a table below. Where the environment variable `OLD_MANUALS` names a folder with the manuals
themselves, they are read and sent from there as well, as they are printed but for hosts, tokens and logins.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.conftest import application, in_process
from tests.support import clients, curl, environment, manuals, parser, runs, template

pytestmark = [pytest.mark.in_process, pytest.mark.xdist_group("manuals")]

HEADER = "rest_api_plugin_http_token"
HEADER_TOKEN = "token-of-the-manuals"
FOLDER = environment.ROOT / "tests" / "support" / "manual_dags"
# Both plugins had these, and answer here as the plugin of the address unless a dialect is set.
OF_BOTH = {"deploy_dag", "refresh_all_dags"}
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000"
TOKEN = r"[\w.-]{20,}"
SENT_FILES = {
    "dag_test.py": (FOLDER / "dag_test.py").read_bytes(),
    "dag_test.txt": b"weights\n",
}
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


@pytest.fixture(scope="module")
def services(token, home) -> Iterator[dict[str, Any]]:
    """The service in the dialect `auto`, and in eBay's; what they change is taken back."""
    switches = {"HTTP_TOKEN": f"manuals:admin:{HEADER_TOKEN}", "DEPLOY_ENABLED": "True"}
    names = {f"AIRFLOW__REST_API__{name}": value for name, value in switches.items()}
    with mock.patch.dict(os.environ, names), in_process(application()) as auto:
        with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__LEGACY_DIALECT": "ebay"}):
            built = application()
        with in_process(built) as ebay:
            yield {"auto": auto, "ebay": ebay}
    template.restore(home)


@pytest.fixture
def send(services, token, home, notebook):
    """`send(call)`: send what a manual shows after its world has been made, and return the answer."""
    drafts = home / environment.DRAFTS
    rest = clients.Client(services["auto"], clients.REST, token)

    def arrange(sent):
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

    def send(call):
        sent = {**dict(call.query), **call.texts}
        name = sent.get("api", "")
        arrange(sent)
        speaks = services["ebay" if name in OF_BOTH else "auto"]
        parsed = parser.repeatedly(drafts, "dag_test.py", environment.DRAFTS)
        with parsed if name == "deploy_dag" else nullcontext():
            return credited(call, rest, token).send(speaks, {}, SENT_FILES)

    return send


def credited(call: curl.Curl, rest: clients.Client, token: Any) -> curl.Curl:
    """The call with logins and tokens that are known here."""
    if call.data is not None:
        login = {**json.loads(call.data), "username": "admin", "password": environment.password_of("admin")}
        return replace(call, data=json.dumps(login))
    if call.path.endswith("/refresh"):
        login = {"username": "admin", "password": environment.password_of("admin"), "refresh": True}
        tokens = rest.post("/security/login", role=None, json=login).json()
        return replace(call, headers={"Authorization": f"Bearer {tokens['refresh_token']}"})
    if "Authorization" in call.headers:
        return replace(call, headers={"Authorization": f"Bearer {token('admin')}"})
    return replace(call, headers={**call.headers, HEADER: HEADER_TOKEN})


def assert_like(found: Any, shown: dict[str, Any]) -> None:
    """The answer has the keys, types and fixed texts of the one that is shown."""
    if "output" in shown:
        # Later versions of the plugin said more, and no command where there was none.
        assert set(shown) - {"airflow_cmd"} <= set(found)
    else:
        assert list(found) == list(shown)
    for name in set(shown) & set(found):
        value, wanted = found[name], shown[name]
        if isinstance(wanted, str):
            assert re.fullmatch(pattern(name, wanted), value), (name, value)
        elif wanted is None:
            assert value is None or isinstance(value, str), (name, value)
        else:
            assert value == wanted or isinstance(wanted, dict), (name, value)


def pattern(name: str, shown: str) -> str:
    """What stands for a text that is shown: folders, times, tokens and versions are others here."""
    if name in ("call_time", "response_time"):
        return r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
    if name.endswith("_token"):
        return TOKEN
    if re.fullmatch(DATE, shown):
        return DATE
    if re.fullmatch(r"[\d.]+", shown):
        return r"\d+\.\d+\.\d+"
    return "".join(
        r"/\S+/" if part.startswith("/") else re.escape(part) for part in re.split(r"(/\S+/)", shown)
    )


def assert_answered(answer: Any, shown: manuals.Shown) -> None:
    assert answer.status_code == 200, answer.text
    if shown.answer:
        assert_like(answer.json(), shown.answer)
    elif "trigger_dag" in shown.call.address:
        told = answer.json()
        assert (told["status"], told["http_response_code"], told["output"]["stderr"]) == ("OK", 200, "")
        run_id = dict(shown.call.query).get("run_id", "manual__")
        assert f": {run_id}" in told["output"]["stdout"]
        wanted = r"Created <DagRun test_id @ \S+ \S+: \S+, externally triggered: True>\n?"
        assert re.fullmatch(wanted, told["output"]["stdout"])


@pytest.mark.parametrize("shown", TABLE, ids=lambda shown: shown.call.address)
def test_a_call_of_a_manual_is_answered_as_it_says(send, shown):
    assert_answered(send(shown.call), shown)


def test_without_a_token_the_answer_is_the_printed_one(services):
    http = services["auto"]
    assert http.get("/rest_api/api?api=version").json() == {"msg": "Missing Authorization Header"}
    answer = http.get(f"{E}?api=version", headers={HEADER: "wrong"})
    assert answer.status_code == 403
    assert_like(answer.json(), REFUSED)


@pytest.mark.skipif("OLD_MANUALS" not in os.environ, reason="OLD_MANUALS names no folder")
def test_the_manuals_themselves_are_read_and_sent(send):
    texts = [path.read_text() for path in sorted(Path(os.environ["OLD_MANUALS"]).glob("*.txt"))]
    found = [shown for text in texts for shown in manuals.calls(text)]
    assert len(found) >= len(TABLE)
    for shown in found:
        assert_answered(send(shown.call), shown)
    # What the table above has is what the manuals have.
    told = {(shown.call.method, address(shown.call), shown.call.fields) for shown in found}
    assert {(shown.call.method, address(shown.call), shown.call.fields) for shown in TABLE} == told


def address(call: curl.Curl) -> str:
    """Where a call goes, whatever the host."""
    return call.address.partition("://")[2].partition("/")[2].lstrip("/") or call.address.lstrip("/")


class TestTheReader:
    """A reader that finds nothing proves nothing."""

    MANUAL = """
    curl -X POST -F 'a=@b.py' -H 'X: y' http://{HOST}:{PORT}/api\\?api=deploy_dag\\&dag_id=x&b=c
    response:
    {
      "status": "success"
    }

    Endpoint:
    http://localhost/no?example=1
    Examples:

    http://localhost/api?api=version

    http://localhost/api?api=pause&dag_id=b
    """

    def test_it_finds_calls_with_their_answers_and_does_not_cut_at_ampersands(self):
        first, second, third = manuals.calls(self.MANUAL)
        assert first.call.query == [("api", "deploy_dag"), ("dag_id", "x"), ("b", "c")]
        assert (first.call.method, first.call.headers, first.call.fields) == (
            "POST",
            {"X": "y"},
            (("a", "@b.py"),),
        )
        assert first.answer == {"status": "success"}
        assert (second.call.address, second.answer) == ("http://localhost/api?api=version", None)
        assert third.call.query[1] == ("dag_id", "b")

    @pytest.mark.parametrize(
        "line", ["wget http://a", "curl --unknown http://a", "curl -H nothing http://a", "curl"]
    )
    def test_what_it_does_not_understand_is_refused(self, line):
        with pytest.raises(ValueError, match=r"curl|option|has no|address"):
            curl.read(line)

    @pytest.mark.parametrize(
        ("found", "shown"),
        [
            ({"status": "success", "a": 1}, OK),
            ({"status": "ok"}, OK),
            ({"a": 2}, {"a": 1}),
            ({"startDate": "2020-10-28T16:31:57+00:00"}, {"startDate": DETAIL["startDate"]}),
            ({"message": "DAG File [dag_test.py]"}, {"message": DEPLOYED["message"]}),
        ],
        ids=["more", "other text", "other number", "other date", "other path"],
    )
    def test_an_answer_that_differs_is_seen(self, found, shown):
        with pytest.raises(AssertionError):
            assert_like(found, shown)
