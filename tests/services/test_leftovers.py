"""Temporary folders of processes that were killed."""

from __future__ import annotations

import os
import tempfile

from airflow_rest_api.services.deployments import leftovers


def test_old_folders_of_ours_are_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("ours-old", "ours-new", "other-old"):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / "ours-link").symlink_to(tmp_path / "other-old")
    for name in ("ours-old", "other-old", "ours-link"):
        os.utime(tmp_path / name, (0, 0), follow_symlinks=False)
    assert leftovers.sweep(["ours-", "absent-"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other-old", "ours-link", "ours-new"]
    assert (tmp_path / "other-old" / "inner").exists()
