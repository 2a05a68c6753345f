"""Many deployments to one path at once, on PostgreSQL: they queue or are refused, and their history is one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.local_publication import LocalPublication
from tests.support import deployments
from tests.support.deployments import current, order, store


@pytest.mark.postgres
def test_one_after_another(tmp_path):
    def one(number):
        try:
            return store(order("replicas.py", Content.of_file(b"x = %d\n" % number)))
        except errors.Conflict as refusal:
            return refusal

    with deployments.bundle_in(tmp_path / "bundle") as folder, ThreadPoolExecutor(6) as pool:
        answers = [answer for answer in pool.map(one, range(12)) if isinstance(answer, dict)]
        found = LocalPublication(folder).read("replicas.py")
    history = sorted(answers, key=lambda answer: answer["number"])
    assert [one["number"] for one in history] == list(range(1, len(history) + 1))
    assert [one["previous_sha256"] for one in history] == [None, *(one["sha256"] for one in history[:-1])]
    assert [one["previous_deployment_id"] for one in history][1:] == [
        one["deployment_id"] for one in history[:-1]
    ]
    assert found.sha256 == history[-1]["sha256"]
    assert current("replicas.py") == history[-1]["deployment_id"]
    assert len(history) >= 2
