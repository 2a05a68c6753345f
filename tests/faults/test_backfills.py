"""A backfill is made whole or not at all (`scripts/faults backfills` asks on both databases, and repeats the call)."""

from __future__ import annotations

import pytest

from tests.faults import backfills


@pytest.mark.in_process
@pytest.mark.timeout(300)
def test_a_server_that_dies_half_way_leaves_nothing_of_a_backfill():
    assert backfills.run(full=False) == {"sqlite: left behind": 0, "sqlite: runs made afterwards": 5}
