"""Every test has a folder of instances of its own, and leaves no process behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_rest_api.supervision import folders
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.registry import Registry
from tests.support import components


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with components.registry_in(tmp_path) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """The folder of an instance, without a keeper."""
    folders.make(tmp_path / "instance")
    entered = Folder(tmp_path / "instance")
    yield entered
    entered.close()
