"""Operations that execute code in the sandbox, where the machine offers neither namespaces nor Landlock."""

from __future__ import annotations

import logging
import time

import pytest

from airflow_rest_api.sandbox.box import Sandbox
from airflow_rest_api.services import weak_sandbox
from tests.conftest import application, in_process
from tests.sandbox import hostile, weak
from tests.support import clients
from tests.support.old_calls import OldCalls

pytestmark = [pytest.mark.in_process, pytest.mark.xdist_group("sandbox")]

SETTING = "allow_weak_sandbox"
FORM = {"dag_file": ("etl.py", hostile.GOOD.encode())}


@pytest.fixture(scope="module", autouse=True)
def weak_machine(tmp_path_factory):
    with weak.machine(tmp_path_factory.mktemp("weak")):
        yield


@pytest.fixture(params=["False", "True"])
def allowed(request):
    """Whether the setting is on."""
    return request.param == "True"


@pytest.fixture
def service(allowed, token, monkeypatch):
    monkeypatch.setenv("AIRFLOW__REST_API__DEPLOY_ENABLED", "True")
    monkeypatch.setenv("AIRFLOW__REST_API__ALLOW_WEAK_SANDBOX", str(allowed))
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    with in_process(application()) as http:
        yield clients.Client(http, clients.REST, token)


def test_the_capabilities_state_it(service, allowed):
    found = service.get("/capabilities").json()
    assert (found["sandbox"], found[SETTING]) == ("weak", allowed)


def test_validation_executes_nothing_unless_it_is_allowed(service, allowed):
    response = service.post("/deployments/validate", files=FORM)
    if allowed:
        assert (response.json()["valid"], response.json()["sandbox"]) == (True, "weak")
    else:
        assert_forbidden(response)


def test_a_connection_is_not_tested_unless_it_is_allowed(service, allowed):
    response = service.post("/connections/test", json={"connection_id": "new", "conn_type": "no-such-type"})
    if allowed:
        assert response.json() == {"status": False, "message": 'Unknown hook type "no-such-type"'}
    else:
        assert_forbidden(response)


@pytest.mark.parametrize("allowed", [False], indirect=True)
class TestDeploying:
    def test_a_deployment_is_rejected_and_nothing_is_stored(self, service, home):
        assert_forbidden(service.post("/deployments", files=FORM))
        assert not list(home.rglob("etl.py"))

    @pytest.mark.parametrize("dialect", ["ebay", "clairvoyant"])
    def test_an_old_call_is_rejected_in_its_own_form(self, service, token, home, dialect):
        response = OldCalls(service.http, token)(dialect, "deploy_dag", files=FORM)
        assert (response.status_code, SETTING in response.text) == (403, True)
        assert not list(home.rglob("etl.py"))


def assert_forbidden(response):
    assert response.status_code == 403, response.text
    body = response.json()
    assert (body["switch"], body["title"]) == (SETTING, "The sandbox is too weak")
    assert f"`[rest_api] {SETTING} = True`" in body["detail"]


@pytest.mark.parametrize(("is_allowed", "words"), [(False, "nor connections tested"), (True, "is on")])
def test_a_warning_is_logged_at_start(caplog, is_allowed, words):
    with caplog.at_level(logging.WARNING, logger=weak_sandbox.__name__):
        weak_sandbox.warn(Sandbox(), is_allowed=is_allowed)
        deadline = time.monotonic() + 60
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.05)
    (record,) = caplog.records
    assert words in record.getMessage()
    assert SETTING in record.getMessage()
