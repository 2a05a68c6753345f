"""Airflow's configuration, as far as the service reads it."""

from __future__ import annotations

import pytest

from airflow_rest_api.services import configuration
from airflow_rest_api.settings import load


class TestConfiguration:
    def test_options_come_from_airflows_configuration(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__REST_API__MAX_BODY_KIB", "7")
        assert load(configuration.option).max_body_kib == 7
        assert configuration.option("rest_api", "never_heard_of") is None

    @pytest.mark.parametrize(
        ("enabled", "size", "overflow", "bound"),
        [
            ("True", "5", "10", 15),
            ("True", "1", "0", 1),
            ("True", "0", "10", 0),
            ("True", "5", "-1", 0),
            ("False", "5", "10", 0),
        ],
    )
    def test_the_pool_has_a_size_or_no_bound(self, monkeypatch, enabled, size, overflow, bound):
        monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED", enabled)
        monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE", size)
        monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW", overflow)
        assert configuration.connection_pool_size() == bound

    @pytest.mark.parametrize(
        ("url", "path"),
        [("", ""), ("http://a:8080", ""), ("http://a/", ""), ("https://a/b/c/", "/b/c"), ("/b", "/b")],
    )
    def test_the_path_of_airflow_is_part_of_its_address(self, monkeypatch, url, path):
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", url)
        assert configuration.base_path() == path
