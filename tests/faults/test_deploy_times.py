"""What is deployed is live soon (`scripts/faults deploy_times` deploys more, on a machine of its own)."""

from __future__ import annotations

import pytest

from tests.faults import deploy_times


@pytest.mark.in_process
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("processor")
def test_a_change_is_live_long_before_airflow_would_look_for_it():
    assert deploy_times.run(full=False)["deployments"] == 4
