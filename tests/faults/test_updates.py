"""Of the updates that are bound to one state, one is made (`scripts/faults updates` sends more), on both databases."""

from __future__ import annotations

import pytest

from tests.faults import updates


@pytest.mark.in_process
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("postgres")
def test_one_of_many_updates_of_one_state_is_made_and_none_is_lost():
    figures = updates.run(full=False)
    assert len(figures) == 2 * 3 * 3


@pytest.mark.usefixtures("restored_database")
@pytest.mark.parametrize("counted", updates.COUNTED, ids=lambda counted: counted.noun)
def test_updates_that_are_bound_to_no_state_are_seen(rest, counted):
    rest.put(updates.place(counted), json=counted.of(0))
    with pytest.raises(AssertionError, match=r"answered \{200: 4\}"):
        updates.one_winner(rest.request, counted, "PUT", 4, condition="*")
