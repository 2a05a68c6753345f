"""The strength of the sandbox, and the warning about a weak one."""

from __future__ import annotations

import pytest

from airflow_rest_api.sandbox import box, fork_server
from airflow_rest_api.services import weak_sandbox


@pytest.fixture
def sandbox(monkeypatch):
    """`sandbox(None, b"full")`: a sandbox whose probes return these, one after another."""

    def make(*found):
        results = iter(found)
        monkeypatch.setattr(fork_server, "said", lambda *_: next(results))
        return box.Sandbox()

    return make


def test_a_probe_that_failed_counts_as_weak_until_the_next_one(sandbox):
    probed = sandbox(None, b"full")
    assert [probed.strength(), probed.strength(), probed.strength()] == ["weak", "full", "full"]


@pytest.mark.parametrize(
    ("found", "is_allowed", "said"),
    [
        (b"weak", False, "DAGs cannot be validated or deployed"),
        (b"weak", True, "can reach whatever this service can"),
        (b"partial", False, ""),
        (None, False, ""),
    ],
)
def test_a_warning_says_what_a_weak_one_means(sandbox, caplog, found, is_allowed, said):
    weak_sandbox._warn(sandbox(found), is_allowed)
    assert (said in caplog.text) if said else caplog.text == ""


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "print('full'); raise SystemExit(2)"])
def test_a_child_that_fails_has_found_nothing(monkeypatch, tmp_path, program):
    package = tmp_path / "failing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "probe.py").write_text(program)
    monkeypatch.setattr(fork_server, "_PROGRAM", "failing")
    assert fork_server.said("probe", tmp_path) is None
