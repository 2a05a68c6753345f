"""The Airflow of these tests runs what it is told to."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(240)


def test_a_triggered_run_succeeds(live):
    run_id = live.trigger("basic")

    assert live.until("basic", run_id)["state"] == "success"
    assert live.states("basic", run_id) == {"first": "success", "second": "success"}
