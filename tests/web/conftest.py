"""What the tests of the web frame share: small applications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web import small


@pytest.fixture
def build(monkeypatch, metadata_database) -> Iterator[Callable[..., TestClient]]:
    """`build(paths, handlers, **settings)`: a client of a small application, below `/rest_api/v1`."""
    with ExitStack() as stack:

        def make(paths: Any, handlers: Any, **settings: Any) -> TestClient:
            app = small.application(monkeypatch, paths, handlers, **settings)
            client = TestClient(app, base_url="http://test/rest_api/v1/", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield make
