"""Clients as people wrote them for the old plugins, against a server: health checks, deploying jobs, Java, scripts.

The one that triggers and polls until a run has ended is in `tests/live/test_old_clients.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from unittest import mock
from urllib.parse import quote

import pytest
import requests

from tests.conftest import application
from tests.support import environment, parser
from tests.support.deployments import dag_file
from tests.web import small

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.xdist_group("old-clients"),
    pytest.mark.usefixtures("restored_database"),
]

HEADER = "rest_api_plugin_http_token"
TOKEN = "token-of-the-clients"
HEADERS = {HEADER: TOKEN}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """The address of a service with a header token, and with deploying switched on."""
    switches = {"HTTP_TOKEN": f"clients:admin:{TOKEN}", "DEPLOY_ENABLED": "True"}
    with mock.patch.dict(os.environ, {f"AIRFLOW__REST_API__{name}": on for name, on in switches.items()}):
        built = application()
    with small.serving(built) as (name, port):
        yield f"http://{name}:{port}"


@pytest.fixture
def url(host):
    """Where Clairvoyant's plugin was."""
    return f"{host}/admin/rest_api/api"


@pytest.fixture
def runs_of(rest):
    """`runs_of(dag_id)`: the ids of its runs, as version 1 tells them."""
    return lambda dag_id: {
        run["dag_run_id"] for run in rest.get(f"/dags/{dag_id}/dagRuns").json()["dag_runs"]
    }


class TestAHealthCheck:
    def test_it_sees_that_all_is_well(self, url):
        answer = requests.get(url, params={"api": "version"}, headers=HEADERS, timeout=30)
        assert answer.json()["status"] == "OK"

    @pytest.mark.parametrize(
        "headers", [{}, {HEADER: "another"}, {HEADER: "None"}], ids=["none", "other", "None"]
    )
    def test_it_sees_a_wrong_token(self, url, headers):
        answer = requests.get(url, params={"api": "version"}, headers=headers, timeout=30)
        # Without any credential nobody knows which of the two it should have been.
        if headers:
            assert answer.status_code == answer.json()["http_response_code"] == 403
            assert (answer.json()["status"], answer.json()["output"]) == (
                "ERROR",
                "Token Authentication Failed",
            )
        else:
            assert answer.status_code in (401, 403)


class TestADeployingJob:
    DAG_ID = "deployed_by_a_job"

    def test_it_deploys_unpauses_and_triggers(self, url, home, runs_of):
        name = f"{self.DAG_ID}.py"
        drafts = home / environment.DRAFTS
        with parser.repeatedly(drafts, name, environment.DRAFTS):
            answer = requests.post(
                url,
                params={"api": "deploy_dag"},
                data={"force": "on"},
                files={"dag_file": (name, dag_file(self.DAG_ID))},
                headers=HEADERS,
                timeout=90,
            )
        assert answer.status_code == 200, answer.text
        conf = quote(json.dumps({"name": "a & b", "limit": 3}))
        for call in ("api=unpause", f"api=trigger_dag&run_id=by-the-job&conf={conf}"):
            answer = requests.get(f"{url}?{call}&dag_id={self.DAG_ID}", headers=HEADERS, timeout=30)
            assert answer.status_code == 200, answer.text
            assert (answer.json()["status"], answer.json()["output"]["stderr"]) == ("OK", "")
        assert runs_of(self.DAG_ID) == {"by-the-job"}
        (drafts / name).unlink()


class TestAJavaClient:
    """It logs in, and sends both headers with every call."""

    def test_both_headers_are_taken(self, host, url):
        login = {"username": "user", "password": environment.password_of("user"), "provider": "db"}
        token = requests.post(f"{host}/api/v1/security/login", json=login, timeout=30).json()["access_token"]
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        answer = requests.get(url, params={"api": "list_dags"}, headers=headers, timeout=30)
        assert "etl" in answer.json()["output"]["stdout"].split()

    def test_the_header_token_is_looked_at_first(self, url):
        headers = {HEADER: "another", "Authorization": "Bearer nonsense"}
        assert requests.get(url, params={"api": "version"}, headers=headers, timeout=30).status_code == 403
        headers = {**headers, HEADER: TOKEN}
        answer = requests.get(url, params={"api": "version"}, headers=headers, timeout=30)
        assert (answer.status_code, list(answer.json())) == (422, ["msg"])


class TestAScript:
    """It looks for words in what the commands would have printed."""

    def test_it_finds_a_dag_a_pool_and_a_connection(self, url):
        def printed(**arguments):
            answer = requests.get(url, params=arguments, headers=HEADERS, timeout=30).json()
            assert (answer["status"], answer["output"]["stderr"]) == ("OK", ""), answer
            return answer["output"]["stdout"]

        assert "etl" in printed(api="list_dags")
        pool = {"pool_name": "by_script", "slot_count": "5", "pool_description": "Five"}
        printed(api="pool", cmd="set", **pool)
        assert "by_script" in printed(api="pool", get="by_script")
        added = printed(api="connections", add="on", conn_id="by_script", conn_uri="http://archive.invalid")
        assert "Successfully added" in added
        assert "by_script" in printed(api="connections", list="on")

    def test_a_request_for_the_head_alone_does_nothing(self, url, runs_of):
        before = runs_of("manual")
        params = {"api": "trigger_dag", "dag_id": "manual", "run_id": "by-head"}
        assert requests.head(url, params=params, headers=HEADERS, timeout=30).status_code == 405
        assert runs_of("manual") == before


class TestMistakes:
    """What clients did wrong is answered as it was, in words that help."""

    @pytest.mark.parametrize(
        ("query", "options", "sentence"),
        [
            ("", {}, "API should be provided"),
            ("?api=version?api=version", {}, "API 'version?api=version' was not found"),
            ("?api=pause", {}, "The argument(s) ['dag_id'] are required"),
            ("?api=pause", {"json": {"dag_id": "etl"}}, "The argument(s) ['dag_id'] are required"),
            ("?api=pause&dag_id=nothing", {}, "The DAG ID 'nothing' does not exist"),
        ],
        ids=["no name", "two names", "no argument", "a body of JSON", "no such DAG"],
    )
    def test_a_mistake_is_told(self, url, query, options, sentence):
        answer = requests.post(f"{url}{query}", headers=HEADERS, timeout=30, **options)
        assert (answer.status_code, answer.json()["status"]) == (400, "ERROR")
        assert answer.json()["output"] == sentence
