"""A server that is killed leaves no torn file (`scripts/faults deployments` kills it more often)."""

from __future__ import annotations

import pytest

from tests.faults import deployments


@pytest.mark.in_process
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("sandbox")
def test_what_is_deployed_is_whole_whenever_the_server_dies():
    figures = deployments.run(full=False)
    assert (figures["torn reads"], figures["torn files"]) == (0, 0)
    assert figures["stored"] >= figures["deployments"]


class TestTheChecksThemselves:
    def test_a_torn_file_is_seen(self):
        whole = deployments.body(1)
        assert deployments.is_whole(whole)
        assert not deployments.is_whole(whole[:-1])
        assert not deployments.is_whole(whole + deployments.body(2))
        assert not deployments.is_whole(b"")
