"""Parsing: which requests wait for a DAG processor, and which parses show what a file holds now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import delete, select, update

from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import parsing
from tests.support import parser, processor

FILE = parser.FILE
PLACE = (parser.BUNDLE, FILE)


def source(task_id, dag_id="parsed_here"):
    return processor.source(dag_id, task_id)


@pytest.fixture
def observed():
    def look(since, file=FILE):
        with reading() as session:
            return parsing.observed(session, parser.BUNDLE, file, since)

    return look


def ago(seconds):
    return datetime.now(timezone.utc) - timedelta(seconds=seconds)


def requests():
    from airflow.models.dagbag import DagPriorityParsingRequest as Request

    with reading() as session:
        return [(one.bundle_name, one.relative_fileloc) for one in session.scalars(select(Request))]


class TestAsking:
    def test_a_request_waits_once_however_often_it_is_made(self, restored_database):
        for _ in range(2):
            write(lambda session: parsing.ask(session, *PLACE))
        write(lambda session: parsing.ask_all(session, [PLACE, PLACE, ("dags-folder", "other.py")]))
        assert sorted(requests()) == [("dags-folder", "other.py"), PLACE]

    def test_nothing_is_asked_of_nobody(self, restored_database):
        write(lambda session: parsing.ask_all(session, []))
        assert requests() == []

    def test_it_is_known_to_wait_until_it_is_taken_back(self, restored_database):
        write(lambda session: parsing.ask(session, *PLACE))
        assert write(lambda session: parsing.is_asked(session, *PLACE))
        write(lambda session: parsing.withdraw(session, *PLACE))
        assert not write(lambda session: parsing.is_asked(session, *PLACE))

    def test_it_is_the_request_that_airflow_makes(self, restored_database):
        from airflow.models.dagbag import DagPriorityParsingRequest as Request

        write(lambda session: session.add(Request(*PLACE)))
        write(lambda session: parsing.ask(session, *PLACE))
        assert requests() == [PLACE]

    @pytest.mark.postgres
    def test_requests_of_two_transactions_do_not_collide(self):
        with parser.session() as first, parser.session() as second:
            parsing.ask(first, *PLACE)
            first.commit()
            parsing.ask(second, *PLACE)
            second.commit()
        assert requests().count(PLACE) == 1
        write(lambda session: parsing.withdraw(session, *PLACE))

    @pytest.mark.parametrize(
        ("path", "file"),
        [
            ("etl.py", "etl.py"),
            ("team/etl.py", "team/etl.py"),
            ("packed.zip/etl.py", "packed.zip"),
            ("team/packed.zip/deep/etl.py", "team/packed.zip"),
        ],
    )
    def test_of_an_archive_the_archive_is_parsed(self, path, file):
        assert parsing.file_of(path) == file


class TestObserved:
    def test_a_parse_that_began_afterwards_shows_what_is_served(self, parse, observed):
        parse(source("first"), seconds=2)
        found = observed(ago(5))
        assert (found.parsed, found.error, found.is_lost) == (True, None, False)
        assert found.dags == {"parsed_here": (1, source("first"))}

    def test_a_parse_that_had_begun_before_shows_nothing(self, parse, observed):
        parse(source("first"), seconds=60)
        found = observed(ago(30))
        assert (found.parsed, found.dags, found.is_lost) == (False, {}, True)

    def test_before_any_parse_there_is_nothing_to_see(self, parse, observed):
        assert observed(ago(5)) == parsing.Observation()
        parse(source("first"))
        assert observed(datetime.now(timezone.utc)) == parsing.Observation()

    def test_what_airflow_drops_is_not_served(self, parse, observed):
        parse(source("first"))
        parse(source("second"))
        found = observed(ago(5))
        assert (found.parsed, found.is_lost) == (False, True)
        assert tasks("parsed_here") == {"first"}

    def test_the_next_parse_writes_where_that_is_expected(self, parse, observed):
        parse(source("first"))
        write(lambda session: parsing.expect_write(session, *PLACE))
        parse(source("second"))
        assert observed(ago(5)).parsed
        assert tasks("parsed_here") == {"second"}

    def test_a_parse_that_finds_nothing_new_counts(self, parse, observed):
        parse(source("first"))
        write(lambda session: parsing.expect_write(session, *PLACE))
        since = datetime.now(timezone.utc)
        parse(source("first"), seconds=0)
        assert observed(since).dags == {"parsed_here": (1, source("first"))}

    def test_what_was_written_long_ago_is_left_alone(self, parse):
        parse(source("first"))
        long_ago = ago(1000)
        set_written(long_ago)
        write(lambda session: parsing.expect_write(session, *PLACE))
        assert written() == long_ago

    def test_an_import_error_is_told_and_forgotten_with_the_fault(self, parse, observed):
        parse(source("first"))
        parse("from airflow.sdk import DAG\n1 / 0\n")
        found = observed(ago(5))
        assert not found.parsed
        assert "ZeroDivisionError" in found.error
        assert observed(datetime.now(timezone.utc)).error is None
        write(lambda session: parsing.expect_write(session, *PLACE))
        parse(source("second"))
        assert (observed(ago(5)).parsed, observed(ago(5)).error) == (True, None)

    def test_a_dag_that_left_the_file_does_not_hold_it_up(self, parse, observed):
        parse(source("first", "left"), seconds=60)
        parse(source("first"), seconds=0.5)
        found = observed(ago(30))
        assert (found.parsed, set(found.dags)) == (True, {"parsed_here"})

    def test_the_files_of_others_are_others(self, parse, observed):
        parse(source("first"), file="parsed_here.py.bak.py")
        assert observed(ago(5)) == parsing.Observation()

    def test_a_file_in_an_archive_is_seen_by_the_archive(self, parse, observed):
        parse(source("first"))
        write(lambda session: session.execute(moved_to("a_b.zip/parsed_here.py")))
        assert observed(ago(5), "a_b.zip").parsed
        assert not observed(ago(5), "axb.zip").parsed


class TestIsProcessorAlive:
    @pytest.mark.parametrize(("age", "alive"), [(None, False), (0, True), (1000, False)])
    def test_by_its_heartbeat(self, restored_database, age, alive):
        from airflow.jobs.job import Job

        def put(session):
            session.execute(delete(Job))
            if age is not None:
                session.add(job := Job(job_type="DagProcessorJob", state="running"))
                job.latest_heartbeat = ago(age)

        write(put)
        assert write(parsing.is_processor_alive) is alive


def tasks(dag_id):
    from airflow.models.serialized_dag import SerializedDagModel

    with reading() as session:
        return set(SerializedDagModel.get(dag_id, session=session).dag.task_ids)


def moved_to(path):
    from airflow.models.dag import DagModel

    return update(DagModel).where(DagModel.dag_id == "parsed_here").values(relative_fileloc=path)


def of_file():
    from airflow.models.serialized_dag import SerializedDagModel

    return SerializedDagModel.dag_id == "parsed_here"


def set_written(moment):
    from airflow.models.serialized_dag import SerializedDagModel

    write(
        lambda session: session.execute(
            update(SerializedDagModel).where(of_file()).values(last_updated=moment)
        )
    )


def written():
    from airflow.models.serialized_dag import SerializedDagModel

    with reading() as session:
        return session.scalar(select(SerializedDagModel.last_updated).where(of_file()))
