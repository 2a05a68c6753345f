"""Fixtures of the tests of operations: twins, files, an Airflow that parses, DAGs to select from, permissions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock
from uuid import uuid4

import httpx
import pytest

from tests.conftest import application, in_process
from tests.support import clients, deployments, listening, parser, processor, template
from tests.support.processor import source
from tests.support.twins import assert_alike


@pytest.fixture
def alike(v2, rest, new_run) -> Callable[..., httpx.Response]:
    """`alike(call, **how the run is made)`: do `call(client, run)` to twins by both services."""

    def compare(call, refused_as=None, **made):
        made.setdefault("logical_date", None)
        options = {"refused_as": refused_as} if refused_as else {}
        return assert_alike(v2, rest, partial(new_run, **made), call, **options)

    return compare


@pytest.fixture
def heard() -> Iterator[list[tuple[str, ...]]]:
    """What a listener hears, one that fails at failed tasks; for tests with the mark `in_process`."""
    from airflow.listeners import hookimpl
    from airflow.listeners.listener import get_listener_manager

    events: list[tuple[str, ...]] = []

    class Listener:
        @hookimpl
        def on_dag_run_success(self, dag_run, msg):
            events.append(("run succeeded", dag_run.run_id, dag_run.note))

        @hookimpl
        def on_dag_run_failed(self, dag_run, msg):
            events.append(("run failed", dag_run.run_id, dag_run.dag.dag_id))

        @hookimpl
        def on_task_instance_success(self, previous_state, task_instance):
            events.append(("task succeeded", task_instance.task_id))

        @hookimpl
        def on_task_instance_failed(self, previous_state, task_instance, error):
            events.append(("task failed", task_instance.task_id))
            raise RuntimeError("a listener's fault")

        @hookimpl
        def on_task_instance_skipped(self, previous_state, task_instance):
            events.append(("task skipped", task_instance.task_id))

    manager, listener = get_listener_manager(), Listener()
    manager.pm.register(listener)
    yield events
    manager.pm.unregister(listener)


@pytest.fixture(scope="session")
def revealing(token) -> Iterator[clients.Client]:
    """A client of a service that has revealing switched on; for tests with the mark `in_process`."""
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__REVEAL_ENABLED": "True"}):
        built = application()
    with in_process(built) as http:
        yield clients.Client(http, clients.REST, token)


@pytest.fixture(scope="session")
def life(metadata_database, tmp_path_factory) -> Iterator[processor.Life]:
    """An Airflow with a DAG processor and the service, with the DAGs `kept` and `changing` in the bundle `drafts`.

    For tests with the mark `xdist_group("processor")`, so that it is started once.
    """
    files = {"kept.py": source("kept"), "changing.py": source("changing")}
    with processor.running(tmp_path_factory.mktemp("processor"), files) as started:
        yield started


@pytest.fixture
def root(home: Path) -> Iterator[Path]:
    """The folder of the upload root `files`, which is empty before and after the test."""
    folder = home / "files"
    empty(folder)
    yield folder
    empty(folder)


def empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@pytest.fixture(scope="module")
def selection_dags(home):
    """The DAGs of `tests/support/selection_dags`, for the tests of one module."""
    parser.parse(Path(__file__).parents[1] / "support" / "selection_dags", "selections.py", 0.1)
    yield
    template.restore(home)


@pytest.fixture(scope="module")
def restored_afterwards(home, notebook):
    """Brings the SQLite database back to the scenario after the tests of one module."""
    yield
    listening.events(notebook, home / "airflow.db")
    template.restore(home)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of the only bundle that Airflow takes DAGs from."""
    with deployments.bundle_in(tmp_path / "bundle") as made:
        yield made


@pytest.fixture(scope="module")
def able(token) -> Iterator[clients.Client]:
    """A client of a service that may deploy; one for a module, since its sandbox takes seconds to start."""
    with deployments.service(token) as client:
        yield client


@pytest.fixture
def dag_id() -> str:
    """The id of a DAG that nobody knows."""
    return f"trial_{uuid4().hex[:8]}"


@pytest.fixture
def only(monkeypatch):
    """`only("a", "b")`: the caller may read these variables, connections and pools alone."""
    from airflow_rest_api.security.access import AirflowPermissions
    from airflow_rest_api.services.caller import NamedScope

    def scope(*names):
        monkeypatch.setattr(AirflowPermissions, "named_scope", lambda *_: NamedScope(frozenset(names), False))

    return scope


@pytest.fixture
def denying(monkeypatch):
    """`denying("variable", "PUT")`: the caller may do all but this."""
    from airflow_rest_api.security.access import AirflowPermissions

    really = AirflowPermissions.may_named

    def deny(*denied):
        def may(self, resource, object_id, method, team=None):
            return (resource, method) not in denied and really(self, resource, object_id, method, team)

        monkeypatch.setattr(AirflowPermissions, "may_named", may)

    return deny


@pytest.fixture
def without(monkeypatch):
    """`without("POST", "RUN")`: from now on nobody may use this method on this part of a DAG."""
    from airflow_rest_api.security.access import AirflowPermissions
    from airflow_rest_api.services import errors

    def take(*refused):
        def may(self, dag_id, method, access_entity=None):
            return (method, access_entity) != refused

        def require(self, dag_id, method, access_entity=None):
            if not may(self, dag_id, method, access_entity):
                raise errors.Denied("Not this one.")

        monkeypatch.setattr(AirflowPermissions, "may_dag", may)
        monkeypatch.setattr(AirflowPermissions, "require_dag", require)

    return take
