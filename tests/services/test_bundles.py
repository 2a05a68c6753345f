"""Bundles: which of them can be deployed into, and why not the others."""

from __future__ import annotations

import json

import pytest
from airflow.dag_processing.bundles.base import BaseDagBundle

from airflow_rest_api.services.deployments import bundles


class FetchedDagBundle(BaseDagBundle):
    """A bundle whose place nobody knows before it was fetched."""

    @property
    def path(self):
        raise RuntimeError("not initialised")

    def get_current_version(self):
        return None

    def refresh(self):
        """Nothing to fetch."""


def local(name, **options):
    return {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {key: str(value) for key, value in options.items()},
    }


@pytest.fixture
def configured(monkeypatch):
    def configure(*entries):
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(entries))

    return configure


def test_a_local_bundle_is_writable_where_its_folder_is(configured, tmp_path):
    (tmp_path / "dags").mkdir()
    configured(local("absent", path=tmp_path / "absent"), local("dags", path=tmp_path / "dags"))
    absent, dags = bundles.every()
    assert (absent.is_writable, absent.why_not) == (False, "its folder does not exist on this machine")
    assert (dags.name, dags.kind, dags.path, dags.is_writable) == ("dags", "local", tmp_path / "dags", True)
    assert bundles.writable() == dags
    assert bundles.writable("dags") == dags
    with pytest.raises(bundles.BundleNotWritable, match="its folder does not exist") as refused:
        bundles.writable("absent")
    assert str(tmp_path) not in refused.value.detail


def test_a_bundle_of_another_class_tells_why_not(configured):
    configured({"name": "fetched", "classpath": f"{__name__}.FetchedDagBundle", "kwargs": {}})
    (found,) = bundles.every()
    assert (found.kind, found.path) == ("FetchedDagBundle", None)
    assert found.why_not is not None
    assert "FetchedDagBundle are copies" in found.why_not
    with pytest.raises(bundles.NoWritableBundle):
        bundles.writable()


def test_examples_are_not_deployed_into(configured, tmp_path):
    (tmp_path / "example_dags").mkdir()
    configured(local("mine", path=tmp_path / "example_dags"))
    assert bundles.every()[0].why_not == "it holds the examples of Airflow or of a provider"


def test_an_unknown_bundle_is_not_found(configured):
    configured()
    with pytest.raises(bundles.BundleNotFound, match="no DAG bundle 'absent'"):
        bundles.writable("absent")
