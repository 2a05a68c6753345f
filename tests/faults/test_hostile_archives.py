"""The target `hostile_archives`, small; and that it can be missed."""

from __future__ import annotations

import pytest

from airflow_rest_api.services.deployments import archive
from tests.faults import hostile_archives

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.usefixtures("restored_database"),
    pytest.mark.xdist_group("sandbox"),
]


def test_no_archive_leads_out_of_its_place():
    figures = hostile_archives.run(full=False)
    assert figures["archives"] == 150


def test_a_service_that_takes_names_as_they_come_is_noticed(monkeypatch):
    monkeypatch.setattr(archive, "_plain", lambda name: name)
    with pytest.raises(AssertionError):
        hostile_archives.run(full=False)
