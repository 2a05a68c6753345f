"""Two replicas and one path (`scripts/faults deployment_replicas` does it more often)."""

from __future__ import annotations

import hashlib

import pytest

from tests.faults import deployment_replicas


@pytest.mark.in_process
@pytest.mark.timeout(300)
@pytest.mark.postgres
def test_two_replicas_that_deploy_at_once_take_turns():
    figures = deployment_replicas.run(full=False)
    assert figures["history"] == "linear"
    assert figures["deployments"] >= figures["rounds"]


class TestTheChecksThemselves:
    @pytest.mark.parametrize("fault", ["number", "previous_sha256", "is_current", "content"])
    def test_a_history_that_is_not_linear_is_seen(self, fault):
        digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
        history = [
            {"number": number + 1, "sha256": digest, "previous_sha256": before, "is_current": number == 2}
            for number, (digest, before) in enumerate(zip(digests, [None, *digests], strict=False))
        ]
        assert deployment_replicas.judged(history, bytes([2]))["deployments"] == 3
        if fault != "content":
            history[1][fault] = history[2][fault]
        with pytest.raises(AssertionError):
            deployment_replicas.judged(history, b"other" if fault == "content" else bytes([2]))
