"""The log lines of a tested task."""

from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest

from airflow_rest_api.trial.child import lines

MOMENT = datetime(2026, 1, 5, 10, 30, 0, 250_000, tzinfo=timezone.utc)
PREFIX = "2026-01-05T10:30:00.250+00:00"


@pytest.fixture
def written():
    """`written(lambda log: log.info("Rows"))`: what a logger has written."""

    def write(call):
        ours, theirs = os.pipe()
        try:
            call(lines.logger(theirs))
        finally:
            os.close(theirs)
        with os.fdopen(ours, "rb") as file:
            return file.read().decode()

    return write


def test_a_line_has_time_level_text_and_further_fields(written):
    text = written(lambda log: log.warning("Few rows", timestamp=MOMENT, rows=3, table="a b"))
    assert text == f"{PREFIX} WARNING Few rows rows=3 table='a b'\n"


def test_fields_of_every_line_are_left_out(written):
    text = written(
        lambda log: log.info("Rows", timestamp=MOMENT, logger="task.stdout", dag_id="etl", try_number=1)
    )
    assert text == f"{PREFIX} INFO Rows\n"


def test_a_line_without_a_time_has_the_current_one(written):
    before = datetime.now(timezone.utc)
    moment = datetime.fromisoformat(written(lambda log: log.info("Rows")).split()[0])
    assert abs((moment - before).total_seconds()) < 60


def test_an_error_is_followed_by_its_tracebacks_the_cause_first(written):
    frame = {"filename": "/dags/etl.py", "lineno": 7, "name": "load"}
    detail = [
        {"exc_type": "RuntimeError", "exc_value": "no rows", "frames": [frame]},
        {"exc_type": "KeyError", "exc_value": "'rows'", "frames": []},
    ]
    text = written(lambda log: log.error("Task failed", timestamp=MOMENT, error_detail=detail))
    assert text.splitlines() == [
        f"{PREFIX} ERROR Task failed",
        "Traceback:",
        "KeyError: 'rows'",
        "Traceback:",
        '  File "/dags/etl.py", line 7, in load',
        "RuntimeError: no rows",
    ]


def test_a_text_that_is_not_unicode_is_written_all_the_same(written):
    assert written(lambda log: log.info("a\ud800b", timestamp=MOMENT)) == f"{PREFIX} INFO a?b\n"
