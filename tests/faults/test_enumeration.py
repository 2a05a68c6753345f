"""The target `enumeration`, small; and that it can be missed."""

from __future__ import annotations

import pytest

from tests.faults import enumeration
from tests.support.under_manager import MANAGERS

pytestmark = pytest.mark.in_process


def test_known_and_unknown_users_are_told_apart_neither_in_words_nor_in_time():
    figures = enumeration.run(full=False)
    assert figures["fab: password hashes"] == [1, 1]


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_service_that_hashes_for_known_names_only_is_noticed(manager):
    found = enumeration.measured(manager, 12, broken=True)
    with pytest.raises(AssertionError, match="told apart in time"):
        enumeration.verdict(found)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"answers": [["No such user"], ["Wrong password"]]}, "told apart in words"),
        ({"hashes": [1, 0]}, "passwords hashed"),
        ({"unknown": [0.11] * 40}, "told apart in time"),
    ],
)
def test_each_difference_is_noticed(changed, fault):
    same = {"known": [0.1] * 40, "unknown": [0.1] * 40, "answers": [["No"], ["No"]], "hashes": [1, 1]}
    assert enumeration.verdict(same)["difference"] == "0.00%"
    with pytest.raises(AssertionError, match=fault):
        enumeration.verdict({**same, **changed})
