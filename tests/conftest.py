"""The Airflow that the tests run in, and the fixtures that every test may use; `tests/support/README.md` explains.

Airflow reads its settings when it is first imported. So they are set in `pytest_configure`, before any test module
is collected, and nothing that is imported at the top of this module imports Airflow.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from tests.support import (
    canaries,
    clients,
    comparison,
    environment,
    grouping,
    listening,
    old_calls,
    postgres,
    runs,
    scenario,
    template,
)

HOME = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("airflow-rest-api")
    group.addoption(
        "--service-url",
        help="test a running server (scheme, host, port) in place of the application in process",
    )
    group.addoption(
        "--service-home", type=Path, help="the AIRFLOW_HOME that the server of --service-url runs in"
    )
    group.addoption(
        "--in-full", action="store_true", help="run the tests of all operations against both kinds of servers"
    )


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("--service-home")
    if config.getoption("--service-url") and not given:
        raise pytest.UsageError(
            "--service-url needs --service-home: both services must stand on one database"
        )
    home = given.resolve() if given else Path(tempfile.mkdtemp(prefix="airflow-tests-"))
    config.stash[HOME] = home
    environment.enter(environment.recorded(home) if given else environment.prepare(home))


def pytest_unconfigure(config: pytest.Config) -> None:
    if HOME in config.stash and not config.getoption("--service-home"):
        shutil.rmtree(config.stash[HOME], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {
        "in_process": "looks into the application's process",
        "postgres": "the server has its own database",
    }
    for item in items:
        if config.getoption("--service-url"):
            for name, reason in reasons.items():
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=reason))
        else:
            grouping.add_markers(item)
    grouping.keep_groups_together(config, items)


@pytest.fixture(scope="session", autouse=True)
def contracts_validated_once() -> Iterator[None]:
    """Validate each contract once per process.

    Connexion takes more than a second to validate ours, whenever an application is created.
    """
    from connexion.spec import Specification

    validate, valid = Specification._validate_spec.__func__, set()

    def validate_once(cls: Any, document: dict[str, Any]) -> None:
        digest = hash(json.dumps(document, sort_keys=True, default=str))
        if digest not in valid:
            validate(cls, document)
            valid.add(digest)

    with mock.patch.object(Specification, "_validate_spec", classmethod(validate_once)):
        yield


@pytest.fixture(scope="session")
def home(pytestconfig: pytest.Config) -> Path:
    """The AIRFLOW_HOME of this process's tests, or of the running server."""
    return pytestconfig.stash[HOME]


@pytest.fixture(scope="session", autouse=True)
def metadata_database(pytestconfig: pytest.Config, home: Path) -> None:
    """A copy of the prepared database, for this process alone; a running server brings its own."""
    if not pytestconfig.getoption("--service-home"):
        template.copy_to(home)


@pytest.fixture(scope="session", autouse=True)
def notebook(
    metadata_database: None, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[canaries.Notebook]:
    """What this session's services say; at the end of the session none of the planted secrets is in it."""
    secrets = {**canaries.planted(), "the database's address": environment.sqlite_url(home)}
    kept = canaries.Notebook(tmp_path_factory.mktemp("said") / "everything", secrets)
    with listening.to_session(kept):
        yield kept
    listening.events(kept, home / "airflow.db")
    if hits := kept.hits():
        pytest.fail("Secrets were told:\n" + "\n".join(hits), pytrace=False)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL database with the same content, on a cluster of this test session's own."""
    with postgres.prepared_database(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(autouse=True)
def database_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Move the process to PostgreSQL for a test that is marked so."""
    if request.node.get_closest_marker("postgres") is None:
        yield
        return
    with postgres.in_use(request.getfixturevalue("postgres_url")):
        yield


@pytest.fixture(autouse=True)
def valid_responses(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which this process sends a response that breaks the contract: clients only see what is sent."""
    with listening.to_invalid_responses() as found:
        yield
    if found and request.node.get_closest_marker("invalid_responses") is None:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.fixture(autouse=True)
def no_failed_logins(database_of_the_test: None) -> Iterator[None]:
    """Forget the logins that failed in a test: all tests call from one network."""
    yield
    from airflow_rest_api.services.database import unit_of_work
    from airflow_rest_api.storage.tables import login_failure

    with unit_of_work() as session:
        # A look first: hardly any test fails to log in, and a write waits for others.
        if session.execute(login_failure.select().limit(1)).first():
            session.execute(login_failure.delete())


@pytest.fixture(autouse=True)
def nobody_follows(database_of_the_test: None) -> Iterator[None]:
    """Let no thread that follows deployments or keeps leases outlive its test.

    Another test may close the connections: SQLite crashes where one is closed in the middle of a statement.
    """
    yield
    if following := sys.modules.get("airflow_rest_api.services.deployments.deployment_following"):
        following.stop_all()
    if background := sys.modules.get("airflow_rest_api.services.background"):
        background.pause_all()


@pytest.fixture
def restored_database(home: Path, notebook: canaries.Notebook) -> Iterator[None]:
    """Bring the SQLite database back to the scenario after a test that changes what others read."""
    yield
    listening.events(notebook, home / "airflow.db")
    template.restore(home)


@pytest.fixture(scope="session")
def token(metadata_database: None) -> Callable[[str], str]:
    """`token("viewer")`: a token of Airflow's for the user of that role, good for both services."""
    return clients.Tokens()


@pytest.fixture(scope="session")
def v2(token: Callable[[str], str]) -> Iterator[clients.Client]:
    """Airflow's own `/api/v2`, in this process, on the same database."""
    from airflow.api_fastapi.app import create_app

    with in_process(create_app(apps="core")) as http:
        yield clients.Client(http, clients.V2, token)


@pytest.fixture(scope="session")
def rest(pytestconfig: pytest.Config, token: Callable[[str], str]) -> Iterator[clients.Client]:
    """The service: in this process, or the running server of `--service-url`."""
    url = pytestconfig.getoption("--service-url")
    with httpx.Client(base_url=url, timeout=60) if url else in_process(application()) as http:
        yield clients.Client(http, clients.REST, token)


@pytest.fixture
def old(rest: clients.Client, token: Callable[[str], str]) -> old_calls.OldCalls:
    """`old("clairvoyant", "pause", {"dag_id": "etl"})`: a call of an old plugin at its address."""
    return old_calls.OldCalls(rest.http, token)


@pytest.fixture
def old_with(
    token: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., old_calls.OldCalls]]:
    """`old_with(legacy_dialect="ebay")`: old calls of an application of its own, with these settings."""
    with ExitStack() as closing:

        def make(**settings: Any) -> old_calls.OldCalls:
            for name, value in settings.items():
                monkeypatch.setenv(f"AIRFLOW__REST_API__{name.upper()}", str(value))
            return old_calls.OldCalls(closing.enter_context(in_process(application())), token)

        yield make


def application() -> Any:
    """Build the service's application; fails the test that needs it while there is none."""
    if find_spec("airflow_rest_api.web") is None or find_spec("airflow_rest_api.web.app") is None:
        pytest.fail("airflow_rest_api.web.app does not exist", pytrace=False)
    from airflow_rest_api.web.app import create_application

    return create_application()


def in_process(app: Any) -> Any:
    """A client that calls an ASGI application directly; a fault of it is answered as a server would."""
    from starlette.testclient import TestClient

    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(name="scenario", scope="session")
def scenario_names() -> scenario.Scenario:
    """The names of what the prepared database holds."""
    return scenario.SCENARIO


@pytest.fixture
def new_run(metadata_database: None) -> Callable[..., scenario.Run]:
    """`new_run("manual", state="running", task_states={"first": "success"})`: a run for this test alone."""
    return runs.new_run


@pytest.fixture
def parity(rest: clients.Client, v2: clients.Client) -> Callable[..., tuple[httpx.Response, httpx.Response]]:
    """`parity("GET", "/dags", params={…}, role="viewer")`: call both services, assert the same, answer both responses.

    `refused_as` maps Airflow's status of a refusal to ours (422 is 400 throughout); `normalise` takes out of a
    JSON value what must differ.
    """

    def compare(
        method: str,
        path: str,
        *,
        params: Any = None,
        json: Any = None,
        role: str | None = "admin",
        refused_as: dict[int, int] | None = None,
        normalise: Callable[[Any], Any] = comparison.identity,
        headers: dict[str, str] | None = None,
    ) -> tuple[httpx.Response, httpx.Response]:
        options = {"params": params, "role": role, "headers": headers}
        if json is not None:
            options["json"] = json
        theirs = v2.request(method, path, **options)
        ours = rest.request(method, path, **options)
        comparison.assert_same(ours, theirs, refused_as=refused_as, normalise=normalise)
        return ours, theirs

    return compare
