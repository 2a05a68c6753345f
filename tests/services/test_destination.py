"""Destinations: where a file goes of which only the name is known."""

from __future__ import annotations

import pytest

from airflow_rest_api.services.deployments import destination
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.deployments.destination import Destination
from airflow_rest_api.services.files.confined import BadPath
from tests.support import deployments


@pytest.mark.parametrize("name", ["etl.py", "../../etl.py", "C:\\up\\etl.py", "/tmp/etl.py"])
def test_a_file_goes_to_the_first_bundle_that_can_be_written_to(tmp_path, name):
    with deployments.bundle_in(tmp_path / "bundle") as folder:
        assert destination.of(name).full_path == f"{folder}/etl.py"


def test_without_a_folder_here_it_is_below_the_name_of_the_bundle():
    assert Destination(Bundle("dags", "git", None, None, None), "etl.py").full_path == "dags/etl.py"


@pytest.mark.parametrize("name", ["", "..", "up/", "a:b.py", ".rest_api/x/..", "a\x00.py"], ids=ascii)
def test_what_is_no_name_of_a_file_is_refused(name):
    with pytest.raises(BadPath):
        destination.of(name)
