"""Runs are found by their dates."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_rest_api.services.runs.run_dates import free_moment, run_id_at

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc)
EAST = timezone(timedelta(hours=5, minutes=30))


@pytest.fixture(scope="module")
def clock():
    """Moments that no other test has runs at."""
    return iter(MOMENT + timedelta(days=number) for number in range(50))


class TestRunIdAt:
    def test_a_run_is_found_by_its_logical_date_in_every_zone(self, new_run, clock):
        date = next(clock)
        run = new_run(logical_date=date)
        assert run_id_at("manual", date) == run.dag_run_id
        assert run_id_at("manual", date.astimezone(EAST)) == run.dag_run_id
        assert run_id_at("manual", date + timedelta(microseconds=1)) is None
        assert run_id_at("etl", date) is None

    def test_a_run_without_a_logical_date_is_found_by_when_it_was_to_run(self, new_run, clock):
        date = next(clock)
        run = new_run(run_after=date)
        assert run_id_at("manual", date.astimezone(EAST)) == run.dag_run_id

    def test_of_several_the_newest_is_meant(self, new_run, clock):
        date = next(clock)
        new_run(run_after=date, run_id="zzz-older")
        assert run_id_at("manual", date) == "zzz-older"
        newer = new_run(run_after=date)
        assert run_id_at("manual", date) == newer.dag_run_id

    def test_a_logical_date_comes_first(self, new_run, clock):
        date = next(clock)
        dated = new_run(logical_date=date)
        new_run(run_after=date)
        assert run_id_at("manual", date) == dated.dag_run_id

    def test_a_run_with_a_logical_date_is_not_found_by_when_it_was_to_run(self, new_run, clock):
        date = next(clock)
        new_run(logical_date=date, run_after=date + timedelta(hours=1))
        assert run_id_at("manual", date + timedelta(hours=1)) is None

    def test_instants_at_the_edges_of_the_calendar_are_no_fault(self):
        assert run_id_at("manual", datetime.min.replace(tzinfo=EAST)) is None
        assert run_id_at("manual", datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))) is None
        assert run_id_at("manual", datetime.max.replace(tzinfo=timezone.utc)) is None


class TestFreeMoment:
    def test_a_second_without_a_run_is_free(self, clock):
        date = next(clock)
        assert free_moment("manual", date) == date.replace(microsecond=0)

    def test_the_moment_itself_stands_in_for_a_second_with_a_run(self, new_run, clock):
        date = next(clock)
        new_run(logical_date=date.replace(microsecond=0))
        assert free_moment("manual", date) == date
        assert free_moment("etl", date) == date.replace(microsecond=0)
