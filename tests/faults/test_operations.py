"""Work that nobody carries on is noticed (`scripts/faults operations` waits for the real lease)."""

from __future__ import annotations

import pytest

from tests.faults import operations


@pytest.mark.in_process
@pytest.mark.timeout(180)
def test_what_a_killed_process_was_at_is_lost_or_taken_over(metadata_database, restored_database):
    figures = operations.run(full=False)
    assert figures.keys() == {"lease", "lost after", "taken over after"}
