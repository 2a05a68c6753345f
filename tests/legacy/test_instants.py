"""Dates of old calls are read as Airflow 1 read them from a command line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.failures import Printed

UTC = timezone.utc
MOMENT = datetime(2017, 1, 2, 3, 4, 5, tzinfo=UTC)
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2017-01-02T03:04:05", MOMENT),
        (" 2017-01-02 03:04:05+00:00\n", MOMENT),
        ("2017-01-02T03:04:05.123456Z", MOMENT.replace(microsecond=123456)),
        ("2017-01-02", datetime(2017, 1, 2, tzinfo=UTC)),
        ("20170102", datetime(2017, 1, 2, tzinfo=UTC)),
        # The time of an answer, which clients take for the date of the run.
        ("Mon, 02 Jan 2017 03:04:05 GMT", MOMENT),
        # A plus sign that was not encoded.
        ("2017-01-02 03:04:05 00:00", MOMENT),
        ("2017-01-02T03:04:05.5 0200", MOMENT.replace(microsecond=500000, tzinfo=EAST)),
        ("2017-01-02T03:04 02:00", datetime(2017, 1, 2, 3, 4, tzinfo=EAST)),
    ],
)
def test_a_date_is_read(text, wanted):
    found = instants.parse(text, "execution_date")
    assert (found, found.utcoffset()) == (wanted, wanted.utcoffset())
    assert type(found) is datetime


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2017-13-01", "2017-01-02T25:00:00", "2017-01-02T03:04:05+99:99", "\0"),
        *("P1D", "2017-01-01/2017-01-02", "9" * 400, "(" * 4000, "1-" * 3000),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_what_is_no_date_is_refused_as_the_command_did(text):
    with pytest.raises(Printed) as refusal:
        instants.parse(text, "execution_date")
    assert refusal.value.detail == f"error: argument execution_date: invalid parse value: {text!r}"
