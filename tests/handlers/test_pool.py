"""Pool: `openapi/paths/pool.yaml` against Airflow's `/api/v2`, and what we have beyond it."""

from __future__ import annotations

import pytest

from tests.support.shared_calls import assert_alike
from tests.support.shared_calls_of import pool as shared


def test_story(rest, v2, restored_database):
    assert_alike(shared.CALLS, rest, v2, normalise=shared.normalise)
