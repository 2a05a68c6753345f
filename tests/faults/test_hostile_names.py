"""The target `hostile_names`, small; and that it can be missed."""

from __future__ import annotations

import os

import pytest

from airflow_rest_api.services.files import confined
from tests.faults import hostile_names

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]


def test_no_name_leads_out_of_the_root():
    figures = hostile_names.run(full=False)
    assert figures["names"] == 100


def test_a_service_that_takes_paths_as_they_come_is_noticed(monkeypatch):
    monkeypatch.setattr(confined, "segments", lambda path: tuple(path.split("/")))
    with pytest.raises(AssertionError):
        hostile_names.run(full=False)


def test_a_service_that_follows_links_is_noticed(monkeypatch):
    monkeypatch.setattr(confined, "_FOLDER", confined._FOLDER & ~os.O_NOFOLLOW)
    monkeypatch.setattr(confined, "_FILE", confined._FILE & ~os.O_NOFOLLOW)
    with pytest.raises(AssertionError, match="outside the root"):
        hostile_names.run(full=False)
