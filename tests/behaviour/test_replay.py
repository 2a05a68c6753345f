"""A record of this checkout can be replayed without a difference, and a change of the service is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.behaviour import collection, recorded
from tests.behaviour.differences import between
from tests.behaviour.normal import Normalizer
from tests.behaviour.play import Player
from tests.behaviour.recorded import Entry, Outcome, Request

pytestmark = pytest.mark.in_process
LABELS = ("get_dag-", "get_dags-", "patch_dag-", "post_variable-", "trigger_dag_run-", "trigger_dag-required")
GENERATED = 3
OUTCOME = Outcome(200, [("etag", "{digest}")], '{"a": 1}', [{"event": "patch_dag"}])


@pytest.fixture(scope="module")
def requests():
    chosen = [
        request
        for request in collection.all_requests(GENERATED)
        if any(name in request.label for name in LABELS)
    ]
    return [*chosen, *collection.manuals()]


@pytest.mark.slow
@pytest.mark.usefixtures("restored_database")
def test_an_unchanged_service_has_no_differences(home, requests, tmp_path):
    record = tmp_path / "record.jsonl"
    recorded.write(record, Player(home).play(requests))
    before = list(recorded.read(record))
    assert [entry.request for entry in before] == requests
    after = Player(home).play(entry.request for entry in before)
    assert [text for pair in zip(before, after, strict=True) for text in between(*pair)] == []


def test_requests_are_the_same_each_time():
    first, second = ([*collection.all_requests(GENERATED)] for _ in range(2))
    assert [request.label for request in first] == [request.label for request in second]
    generated = [request for request in first if request.label.startswith("generated")]
    assert len(generated) == GENERATED
    assert generated == [request for request in second if request.label.startswith("generated")]


@pytest.mark.parametrize(
    "changed",
    [
        replace(OUTCOME, status=201),
        replace(OUTCOME, headers=[*OUTCOME.headers, ("x-seeded", "1")]),
        replace(OUTCOME, body='{"a": 2}'),
        replace(OUTCOME, audit=[]),
    ],
    ids=["status", "header", "body", "audit"],
)
def test_one_change_is_one_difference(changed):
    request = Request("get", "GET", "/", [])
    assert len(list(between(Entry(request, OUTCOME), Entry(request, changed)))) == 1


def test_moments_and_ids_are_replaced_and_dates_of_the_scenario_are_kept():
    normalizer = Normalizer({"/tmp/home": "{home}"})
    kept = "2020-01-02T03:04:05+00:00"
    text = f"{kept} 0b9118e6388a9512cd1e78c324325493 /tmp/home/dags 6b29b1a3-9d4c-4d0b-8f8e-3f0a4b4c5d6e"
    assert normalizer.text(text) == f"{kept} {{hex}} {{home}}/dags {{uuid}}"
    assert normalizer.text(normalizer.now().isoformat()) == "{now}"
