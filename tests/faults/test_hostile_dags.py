"""The target `hostile_dags`, with the files that end by themselves; and that it can be missed."""

from __future__ import annotations

import pytest

from tests.faults import hostile_dags
from tests.faults.hostile_dags import Seen

pytestmark = [pytest.mark.in_process, pytest.mark.xdist_group("sandbox")]
ANSWER = {"valid": False, "dags": [], "sandbox": "full"}


@pytest.mark.timeout(240)
def test_hostile_files_are_refused_while_others_are_served():
    figures = hostile_dags.run(full=False)
    assert figures["files"] >= 20
    assert (figures["processes left"], figures["secrets read"]) == (0, 0)


def seen(answer=ANSWER, *, seconds=1.0, text="", milliseconds=1.0):
    return Seen({"a": answer}, {"a": seconds}, [text], [milliseconds] * 100)


@pytest.mark.parametrize(
    ("what", "grown", "left", "said"),
    [
        (seen({**ANSWER, "valid": True}), 0, [], "called valid"),
        (seen({**ANSWER, "dags": [{}]}), 0, [], "called valid"),
        (seen(seconds=36), 0, [], "'a' took 36.0 s"),
        (seen(text=hostile_dags.MARK), 0, [], "secrets were read"),
        (seen(milliseconds=300), 0, [], "p99 of 300 ms"),
        (seen(), 30, [], "grew by 30.0 MB"),
        (seen(), 0, ["somebody"], "processes that are left"),
    ],
)
def test_what_goes_wrong_is_noticed(what, grown, left, said):
    with pytest.raises(AssertionError, match=said):
        hostile_dags.judged(what, grown, left, {"a": ""})
    assert hostile_dags.judged(seen(), 0, [], {"a": ""})["files"] == 1
