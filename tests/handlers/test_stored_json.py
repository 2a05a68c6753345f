"""Runs and backfills whose stored JSON has values beyond 64 bits, NaN and lone surrogates: sent, and changed."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from unittest import mock

import pytest

from tests.conftest import application, in_process
from tests.support import clients

pytestmark = pytest.mark.usefixtures("restored_database")

ORDER = 20261201123456789012345
STORED = {"order": ORDER, "ratio": float("nan"), "text": "\ud800"}
SENT = '{"order":20261201123456789012345,"ratio":null,"text":"\\ud800"}'


@pytest.fixture
def run(new_run):
    return new_run("manual", state="failed", task_states={"first": "failed"}, conf=STORED)


def trail(event):
    """Phase and status of the rows that the audit wrote of an operation."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        rows = session.scalars(select(Log).where(Log.event == event).order_by(Log.id))
        told = [json.loads(row.extra) for row in rows if row.extra]
    return [(each["phase"], each.get("status")) for each in told if "phase" in each]


def test_every_read_of_a_run_sends_the_exact_digits(rest, run):
    some = {"dag_ids": ["manual"], "page_limit": 100}
    responses = [
        rest.get(run.path),
        rest.get(run.path, params={"wait": 1}),
        rest.get(run.path, params={"explain": True}),
        rest.get("/dags/manual/dagRuns", params={"order_by": "-id"}),
        rest.get("/dags/~/dagRuns", params={"order_by": "-id"}),
        rest.get("/dags/~/dagRuns", params={"order_by": "-id", "cursor": ""}),
        rest.post("/dags/~/dagRuns/list", json={**some, "order_by": "-id"}),
    ]
    for response in responses:
        assert (response.status_code, SENT in response.text) == (200, True), response.request.url
    tag = responses[0].headers["etag"]
    assert rest.get(run.path, headers={"If-None-Match": tag}).status_code == 304


def test_what_airflow_reads_is_the_same(parity, v2):
    body = {"dag_run_id": "huge", "logical_date": None, "conf": {"order": ORDER}}
    headers = {"Content-Type": "application/json"}
    assert v2.post("/dags/manual/dagRuns", content=json.dumps(body), headers=headers).status_code == 200
    ours, _ = parity("GET", "/dags/manual/dagRuns/huge")
    assert '"conf":{"order":20261201123456789012345}' in ours.text


def test_changes_of_a_run_succeed_and_are_recorded_so(rest, run):
    response = rest.patch(run.path, json={"note": "seen"})
    assert (response.status_code, SENT in response.text) == (200, True), response.text
    assert trail("patch_dag_run")[-1] == ("outcome", 200)


def test_a_replay_is_the_first_response(rest, run):
    existing = {"dag_run_id": run.dag_run_id, "logical_date": None, "on_conflict": "return_existing"}
    changes = {
        "clear_dag_run": (f"{run.path}/clear", {"dry_run": False}),
        "trigger_dag_run": ("/dags/manual/dagRuns", existing),
    }
    for operation_id, (path, body) in changes.items():
        headers = {"Idempotency-Key": f"{operation_id}-{run.dag_run_id}"}
        first, again = (rest.post(path, json=body, headers=headers) for _ in range(2))
        assert (first.status_code, SENT in first.text) == (200, True), first.text
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert trail(operation_id)[-1] == ("outcome", 200)


def test_backfills(rest):
    from airflow.models.backfill import Backfill
    from airflow.utils.session import create_session

    days = [datetime(2026, 3, day, tzinfo=timezone.utc) for day in (1, 2)]
    with create_session(scoped=False) as session:
        stored = Backfill(dag_id="manual", from_date=days[0], to_date=days[1], dag_run_conf=STORED)
        stored.max_active_runs = 1
        session.add(stored)
        session.flush()
        path = f"/backfills/{stored.id}"
    for response in (
        rest.get("/backfills", params={"dag_id": "manual"}),
        rest.get(path),
        rest.put(f"{path}/pause"),
        rest.put(f"{path}/unpause"),
        rest.put(f"{path}/cancel"),
    ):
        assert (response.status_code, SENT in response.text) == (200, True), response.text
    assert trail("cancel_backfill")[-1] == ("outcome", 200)


def test_rendered_fields(rest, scenario):
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session(scoped=False) as session:
        session.execute(
            update(RenderedTaskInstanceFields.__table__)
            .where(RenderedTaskInstanceFields.dag_id == scenario.example.dag_id)
            .values(rendered_fields=STORED)
        )
    path = f"{scenario.example.path}/taskInstances/runme_0"
    for response in (rest.get(f"{path}/renderedFields"), rest.get(path)):
        assert (response.status_code, SENT in response.text) == (200, True), response.text


@pytest.mark.in_process
@pytest.mark.slow
def test_fields_are_rendered_with_a_configuration_beyond_64_bits(run, token):
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__TEST_ENABLED": "True"}):
        built = application()
    with in_process(built) as http:
        rest = clients.Client(http, clients.REST, token)
        response = rest.get(f"{run.path}/taskInstances/first/renderedFields")
    assert (response.status_code, response.json().get("source")) == (200, "live"), response.text


def test_a_dag_without_the_path_of_its_file(rest, old):
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session(scoped=False) as session:
        session.execute(update(DagModel).where(DagModel.dag_id == "manual").values(fileloc=None))
    for paused in (True, False):
        response = rest.patch("/dags/manual", json={"is_paused": paused})
        assert (response.status_code, response.json()["is_paused"]) == (200, paused)
        assert response.json()["fileloc"] == ""
        assert trail("patch_dag")[-1] == ("outcome", 200)
    assert old("clairvoyant", "pause", {"dag_id": "manual"}).status_code == 200
    assert (
        rest.patch("/dags", params={"dag_id_pattern": "manual"}, json={"is_paused": False}).status_code == 200
    )
