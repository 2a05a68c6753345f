"""Airflow's own client works against this service: only the prefix of its addresses is another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import airflow_client.client as airflow_client
import pytest
import urllib3
from airflow_client.client.api import backfill_api, dag_api, dag_run_api, task_instance_api
from airflow_client.client.models import BackfillPostBody, TriggerDAGRunPostBody

from tests.support import servers
from tests.support.fuzzing import login

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]


class Transport:
    """The client's connection pool, with `/api/v2` rewritten to this service's prefix and nothing else."""

    def __init__(self, pool: urllib3.PoolManager) -> None:
        self._pool = pool

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        return self._pool.request(method, url.replace("/api/v2/", "/rest_api/v1/", 1), **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory, pytestconfig) -> Iterator[servers.Server]:
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts a server of its own")
    with servers.running("standalone", tmp_path_factory.mktemp("client"), is_covered=False) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: servers.Server) -> Iterator[airflow_client.ApiClient]:
    configuration = airflow_client.Configuration(host=server.url, access_token=login(server.url))
    with airflow_client.ApiClient(configuration) as client:
        client.rest_client.pool_manager = Transport(client.rest_client.pool_manager)
        yield client


def test_it_lists_dags_triggers_a_run_and_reads_it_and_its_task_instances(client, scenario):
    listed = dag_api.DAGApi(client).get_dags(limit=50)
    assert scenario.manual in [dag.dag_id for dag in listed.dags]

    runs = dag_run_api.DagRunApi(client)
    body = TriggerDAGRunPostBody(dag_run_id="from_the_client", logical_date=None, conf={"from": "client"})
    triggered = runs.trigger_dag_run(scenario.manual, body)
    assert (triggered.dag_run_id, triggered.state.value) == ("from_the_client", "queued")

    read = runs.get_dag_run(scenario.manual, "from_the_client")
    assert read == triggered
    instances = task_instance_api.TaskInstanceApi(client).get_task_instances(
        scenario.manual, "from_the_client"
    )
    assert instances.total_entries == len(instances.task_instances) > 0
    assert {entry.dag_run_id for entry in instances.task_instances} == {"from_the_client"}


def test_it_plans_makes_pauses_and_cancels_a_backfill(client, scenario):
    backfills = backfill_api.BackfillApi(client)
    first, last = (datetime(2026, 2, day, tzinfo=timezone.utc) for day in (1, 5))
    body = BackfillPostBody(dag_id=scenario.paused, from_date=first, to_date=last)
    plan = backfills.create_backfill_dry_run(body)
    assert [run.logical_date.day for run in plan.backfills] == [1, 2, 3, 4, 5]
    made = backfills.create_backfill(body)
    assert (made.from_date, made.to_date, made.is_paused) == (first, last, False)
    assert backfills.pause_backfill(made.id).is_paused
    assert not backfills.unpause_backfill(made.id).is_paused
    assert backfills.cancel_backfill(made.id).completed_at is not None
    assert [found.id for found in backfills.list_backfills(scenario.paused).backfills] == [made.id]


def test_it_filters_by_time_in_its_own_spelling(client, scenario):
    run = dag_run_api.DagRunApi(client).get_dag_runs(scenario.manual, limit=1).dag_runs[0]
    found = dag_run_api.DagRunApi(client).get_dag_runs(
        scenario.manual, run_after_gte=run.run_after, run_after_lte=run.run_after
    )
    assert run.dag_run_id in [entry.dag_run_id for entry in found.dag_runs]


def test_its_exceptions_carry_our_problem(client):
    with pytest.raises(airflow_client.ApiException) as refusal:
        dag_api.DAGApi(client).get_dag("no_such_dag")
    assert refusal.value.status == 404
    assert "dag-not-found" in refusal.value.body
