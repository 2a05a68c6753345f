"""Tokens that no issuer signed are rejected in every place that reads a token; Flask-AppBuilder: `test_fab.py`."""

from __future__ import annotations

from starlette.testclient import TestClient

from tests.support import forged_tokens


def test_every_forged_token_is_rejected(rest):
    client = TestClient(rest.http.app, raise_server_exceptions=False, base_url="http://test")
    assert forged_tokens.statuses(client) == forged_tokens.REJECTED
