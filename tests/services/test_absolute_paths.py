"""Absolute paths: only what is below an upload root has a place there."""

from __future__ import annotations

import pytest

from airflow_rest_api.services import configuration
from airflow_rest_api.services.files import absolute_paths
from airflow_rest_api.services.files.absolute_paths import OutsideRoots


@pytest.fixture
def roots(tmp_path):
    for name in ("data", "data2", "real"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    return {"data": tmp_path / "data", "linked": tmp_path / "link"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{0}/data", ("data", "")),
        ("{0}/data/", ("data", "")),
        ("{0}//data/./a/b.csv", ("data", "a/b.csv")),
        ("{0}/link/a", ("linked", "a")),
        ("{0}/real/a", ("linked", "a")),
        ("{0}/data/../data2", ("data", "../data2")),
    ],
    ids=str,
)
def test_what_is_below_a_root_has_a_place_there(roots, tmp_path, path, expected):
    assert absolute_paths.located(roots, path.format(tmp_path)) == expected


@pytest.mark.parametrize(
    "path",
    [
        "data",
        "./data/a",
        "",
        "/",
        "/etc/passwd",
        "{0}",
        "{0}/data2/a",
        "{0}/datab",
        "/{0}/data/a",
        "~/a",
        "C:\\a",
    ],
    ids=str,
)
def test_everything_else_is_outside(roots, tmp_path, path):
    with pytest.raises(OutsideRoots):
        absolute_paths.located(roots, path.format(tmp_path))


def test_the_folder_of_dags_is_the_root_that_nobody_names(roots, monkeypatch):
    assert absolute_paths.default_root(roots) == "data"
    monkeypatch.setattr(configuration, "dags_folder", roots["linked"].resolve)
    assert absolute_paths.default_root(roots) == "linked"


def test_the_full_path_is_that_of_the_root_and_what_is_below(roots, tmp_path):
    assert absolute_paths.full(roots, "data", "a/b.csv") == f"{tmp_path}/data/a/b.csv"
