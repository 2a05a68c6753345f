"""Mishaps: which refusals are told as faults of what was asked for."""

from __future__ import annotations

import pytest

from airflow_rest_api.legacy import mishaps
from airflow_rest_api.legacy.failures import Failed
from airflow_rest_api.services import errors


@pytest.mark.parametrize("kind", [errors.Conflict, errors.NotFound, errors.Unprocessable])
def test_what_cannot_be_done_is_a_failure(kind):
    told = "^An error occurred while trying to Refresh the DAG 'etl': No file[.]$"
    with pytest.raises(Failed, match=told), mishaps.while_trying_to("Refresh the DAG 'etl'"):
        raise kind("No file.")


@pytest.mark.parametrize("kind", [errors.Denied, errors.Unavailable, errors.TooManyRequests])
def test_who_may_not_or_comes_at_a_bad_moment_is_told_that(kind):
    with pytest.raises(kind, match="Not now"), mishaps.while_trying_to("Refresh the DAG 'etl'"):
        raise kind("Not now.")
