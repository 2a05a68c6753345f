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
from tests.support import clients, curl, environment, manual_calls, manuals, parser, template
from tests.support.manual_calls import DEPLOYED, DETAIL, HEADER, OK, REFUSED, TABLE, E

pytestmark = [pytest.mark.in_process, pytest.mark.xdist_group("manuals")]

HEADER_TOKEN = "token-of-the-manuals"
# Both plugins had these, and answer here as the plugin of the address unless a dialect is set.
OF_BOTH = {"deploy_dag", "refresh_all_dags"}
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000"
TOKEN = r"[\w.-]{20,}"
SENT_FILES = {
    "dag_test.py": (manual_calls.FOLDER / "dag_test.py").read_bytes(),
    "dag_test.txt": b"weights\n",
}


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

    def send(call):
        sent = {**dict(call.query), **call.texts}
        name = sent.get("api", "")
        manual_calls.arrange(rest, drafts, sent)
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
