"""Structure: readers share a deserialised DAG until it is stored anew, writers have their own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pendulum
import pytest
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from sqlalchemy import select, update

from airflow_rest_api.services import errors
from airflow_rest_api.services.dags import structure


@pytest.fixture(autouse=True)
def nothing_kept():
    structure.forget()


@pytest.fixture
def session(metadata_database):
    with create_session(scoped=False) as session:
        yield session


def version_id(session, dag_id, number):
    query = select(DagVersion.id).where(DagVersion.dag_id == dag_id, DagVersion.version_number == number)
    return session.scalars(query).one()


def store_anew(session, dag_id):
    """Rewrite the latest version in place, as Airflow does as long as no task ran with it."""
    session.execute(
        update(SerializedDagModel)
        .where(SerializedDagModel.dag_id == dag_id)
        .values(dag_hash=uuid4().hex, last_updated=datetime.now(timezone.utc))
    )
    session.flush()


class TestShared:
    def test_readers_share_the_latest_version(self, session, scenario):
        first = structure.read_latest(scenario.versioned, session)
        assert first.has_task("new_task")
        assert not first.has_task("old_task")
        assert structure.read_latest(scenario.versioned, session) is first

    def test_readers_of_one_version_share_it(self, session, scenario):
        old = structure.read_version(version_id(session, scenario.versioned, 1), session)
        assert old.has_task("old_task")
        assert structure.read_version(version_id(session, scenario.versioned, 1), session) is old
        latest = structure.read_version(version_id(session, scenario.versioned, 2), session)
        assert latest is structure.read_latest(scenario.versioned, session)

    def test_a_version_that_is_gone_is_none(self, session):
        assert structure.read_version(uuid4(), session) is None

    def test_what_is_stored_anew_is_read_anew(self, session, scenario):
        first = structure.read_latest(scenario.active, session)
        store_anew(session, scenario.active)
        assert structure.read_latest(scenario.active, session) is not first
        session.rollback()

    def test_what_is_derived_is_made_once_for_each_state(self, session, scenario):
        made = []

        def names(dag):
            made.append(dag.dag_id)
            return sorted(dag.task_ids)

        assert structure.derived(scenario.active, session, names) is structure.derived(
            scenario.active, session, names
        )
        store_anew(session, scenario.active)
        structure.derived(scenario.active, session, names)
        assert made == [scenario.active] * 2
        session.rollback()

    def test_an_unknown_dag_is_refused(self, session, scenario):
        for ask in (structure.require, structure.read_latest, structure.latest):
            with pytest.raises(errors.DagNotFound):
                ask(scenario.missing, session)

    def test_a_known_dag_is_not(self, session, scenario):
        structure.require(scenario.active, session)

    def test_a_version_that_goes_while_it_is_read_is_refused(self, session, scenario, monkeypatch):
        gone = structure.Stamp(uuid4(), "0" * 32, datetime.now(timezone.utc))
        monkeypatch.setattr(structure, "_latest_stamp", lambda dag_id, session: gone)
        with pytest.raises(errors.DagNotFound):
            structure.read_latest(scenario.active, session)


class TestOwn:
    def test_each_writer_has_a_copy(self, session, scenario):
        first, second = structure.latest(scenario.active, session), structure.latest(scenario.active, session)
        assert first is not second
        assert first is not structure.read_latest(scenario.active, session)

    def test_a_run_goes_on_with_the_latest_version_of_an_unversioned_bundle(self, session, scenario):
        names = scenario.old_version
        run = session.scalars(select(DagRun).filter_by(dag_id=names.dag_id, run_id=names.dag_run_id)).one()
        assert structure.of_run(run, session).has_task("new_task")

    def test_a_run_without_any_version_is_refused(self, session, scenario):
        with pytest.raises(errors.DagNotFound):
            structure.of_run(DagRun(dag_id=scenario.missing, run_id="x"), session)


class TestPlain:
    def test_durations_sets_and_tuples_get_a_form_in_json(self):
        value = {"delay": timedelta(minutes=5), "names": {"a"}, "pair": (1, None), "word": "x"}
        assert structure.plain(value) == {"delay": "PT5M", "names": ["a"], "pair": [1, None], "word": "x"}

    def test_what_has_none_is_named_by_its_type(self):
        class Pod:
            secret = "hidden"

        told = structure.plain({"executor_config": {"pod_override": Pod()}})["executor_config"][
            "pod_override"
        ]
        assert told.endswith("Pod")
        assert "hidden" not in told

    def test_dates_become_plain_ones_in_utc(self):
        moment = structure.instant(pendulum.datetime(2026, 1, 1, 1, tz="Europe/Berlin"))
        assert type(moment) is datetime
        assert moment == datetime(2026, 1, 1, tzinfo=timezone.utc)
        assert structure.instant(None) is None
