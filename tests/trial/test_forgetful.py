"""The client of a tested task: it reads from Airflow's execution API, and keeps in memory what the task writes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_rest_api.trial.child.forgetful import Client, Kept

CONTEXT = SimpleNamespace()
PLACE = ("etl", "a_run", "a_task")


@pytest.fixture
def kept():
    return Kept(CONTEXT)


@pytest.fixture
def client(kept):
    return Client(kept)


class TestTaskInstances:
    def test_the_task_starts_with_its_context(self, client):
        assert client.task_instances.start("id", 1, None) is CONTEXT

    def test_its_deferral_is_kept(self, client, kept):
        deferral = object()
        client.task_instances.defer("id", deferral)
        assert kept.deferred is deferral

    @pytest.mark.parametrize(
        "name",
        ["finish", "retry", "succeed", "reschedule", "heartbeat", "skip_downstream_tasks", "set_rtif"],
    )
    def test_its_states_are_stored_nowhere(self, client, kept, name):
        assert getattr(client.task_instances, name)("id", state="success").ok is True
        assert kept == Kept(CONTEXT)

    def test_it_has_no_inactive_assets_and_was_not_rescheduled(self, client):
        assert client.task_instances.validate_inlets_and_outlets("id").inactive_assets == []
        assert client.task_instances.get_reschedule_start_date("id").start_date is None


class TestXComs:
    def test_what_it_returns_is_there_for_itself(self, client, kept):
        assert client.xcoms.set(*PLACE, "return_value", [1]).ok is True
        assert client.xcoms.get(*PLACE, "return_value").value == [1]
        assert kept.xcoms == {(*PLACE, 0, "return_value"): [1]}

    @pytest.mark.parametrize("index", [None, -1, 0])
    def test_an_instance_without_an_index_is_the_first(self, client, index):
        client.xcoms.set(*PLACE, "key", "a", index)
        assert client.xcoms.get(*PLACE, "key").value == "a"
        assert client.xcoms.get(*PLACE, "key", 0).value == "a"

    def test_deleting_leaves_what_others_have_returned(self, client, kept):
        client.xcoms.set(*PLACE, "key", "a")
        assert client.xcoms.delete(*PLACE, "key").ok is True
        assert client.xcoms.get(*PLACE, "key").value == "a"


class TestStore:
    def test_a_value_is_kept_until_it_is_deleted(self, client):
        store = client.task_state_store
        assert store.get("id", "cursor").detail == {"key": "cursor"}
        store.set("id", "cursor", "7")
        assert store.get("id", "cursor").value == "7"
        store.delete("id", "cursor")
        assert store.get("id", "cursor").detail == {"key": "cursor"}

    def test_all_values_are_cleared(self, client, kept):
        client.task_state_store.set("id", "a", "1")
        client.task_state_store.set("id", "b", "2")
        client.task_state_store.clear("id")
        assert kept.store == {}
