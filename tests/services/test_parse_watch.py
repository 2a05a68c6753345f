"""Watching parses: when a file is decided, and when it is asked for again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import update

from airflow_rest_api.services.database import write
from airflow_rest_api.services.deployments import parse_watch, parsing
from airflow_rest_api.services.deployments.parse_watch import Outcome, Watch
from tests.services.test_parsing import PLACE, ago, requests, source

GOOD, BAD = source("first"), source("first") + "1 / 0\n"
SERVED = [Outcome(PLACE, "served", None, {"parsed_here": 1})]


pytestmark = pytest.mark.usefixtures("restored_database")


def watch(since):
    """A watch on the file, which was asked for then; the request has been taken up."""
    return Watch([PLACE], since)


def taken_up():
    """Do what a DAG processor does that finds the request; tell whether there was one."""
    found = PLACE in requests()
    write(lambda session: parsing.withdraw(session, *PLACE))
    return found


class TestServed:
    def test_it_is_decided_once(self, parse):
        looking = watch(ago(5))
        assert (looking.look(), looking.undecided) == ([], [PLACE])
        parse(GOOD)
        assert looking.look() == SERVED
        assert (looking.look(), looking.undecided) == ([], [])

    def test_a_parse_that_had_begun_before_makes_it_ask_again_once(self, parse):
        looking = watch(ago(5))
        parse(GOOD, seconds=60)
        assert (looking.look(), taken_up()) == ([], True)
        assert (looking.look(), taken_up()) == ([], False)
        parse(GOOD)
        assert looking.look() == SERVED

    def test_what_airflow_drops_is_asked_for_again_and_written_then(self, parse):
        parse(GOOD)
        looking = watch(ago(5))
        parse(source("second"), seconds=0)
        assert (looking.look(), taken_up()) == ([], True)
        parse(source("second"), seconds=0)
        assert looking.look() == SERVED


class TestBroken:
    def test_an_error_is_believed_when_it_is_seen_twice(self, parse):
        looking = watch(ago(5))
        parse(BAD)
        assert (looking.look(), taken_up()) == ([], True)
        assert (looking.look(), taken_up()) == ([], False)
        parse(BAD)
        (found,) = looking.look()
        assert (found.state, "ZeroDivisionError" in found.error) == ("broken", True)

    def test_an_error_of_a_parse_that_had_begun_before_is_not(self, parse):
        looking = watch(ago(5))
        parse(BAD)
        assert looking.look() == []
        parse(GOOD, seconds=0)
        assert looking.look() == SERVED


class TestGone:
    @pytest.mark.parametrize(("age", "decided"), [(0, []), (6, [Outcome(PLACE, "gone")])])
    def test_it_is_believed_after_a_while(self, parse, age, decided):
        from airflow.models.dag import DagModel

        parse(GOOD)
        stale = update(DagModel).where(DagModel.dag_id == "parsed_here").values(is_stale=True)
        set_back = stale.values(last_parsed_time=ago(100))
        write(lambda session: session.execute(set_back))
        assert watch(ago(age)).look() == decided

    def test_while_it_is_asked_for_it_may_come_back(self):
        write(lambda session: parsing.ask(session, *PLACE))
        assert watch(ago(6)).look() == []


class TestAskingAgain:
    def test_what_nobody_has_looked_at_for_long_is_asked_for_again(self, parse):
        parse(GOOD)
        looking = watch(datetime.now(timezone.utc) - timedelta(seconds=1))
        parse(GOOD, seconds=60)
        looking._useless[PLACE] = last_parse()
        assert (looking.look(), taken_up()) == ([], False)
        looking._asked = ago(11)
        assert (looking.look(), taken_up()) == ([], True)
        assert (looking.look(), taken_up()) == ([], False)

    def test_many_files_are_let_write_bundle_by_bundle(self, parse):
        parse(GOOD)
        files = [("dags-folder", f"{number}.py") for number in range(parse_watch.MANY + 1)]
        write(lambda session: parse_watch.request(session, files))
        parse(source("second"), seconds=0)
        assert Watch([PLACE], ago(5)).look() == SERVED


@pytest.mark.postgres
def test_on_postgresql_it_is_all_the_same(parse):
    from airflow.api.common.delete_dag import delete_dag

    try:
        looking = watch(ago(5))
        parse(GOOD)
        assert looking.look() == SERVED
        looking = watch(datetime.now(timezone.utc))
        parse(source("second"), seconds=0)
        assert (looking.look(), taken_up()) == ([], True)
        parse(source("second"), seconds=0)
        assert looking.look() == SERVED
        parse(BAD)
        assert Watch([PLACE], ago(5)).look() == []
    finally:
        taken_up()
        write(lambda session: delete_dag("parsed_here", session=session))


def last_parse():
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        return session.get(DagModel, "parsed_here").last_parsed_time
