"""The issuers of tokens, with the keys of the tests' own Airflow: what they issue, the service takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_rest_api.security.access_tokens import AccessTokens
from airflow_rest_api.security.keys import Keys
from airflow_rest_api.security.login_limits import LoginLimits
from airflow_rest_api.security.refresh_tokens import RefreshTokens
from airflow_rest_api.security.sessions import Sessions
from airflow_rest_api.settings import Settings


def keys(**settings: Any) -> Keys:
    return Keys(Settings(**settings))


def access_tokens(minutes: float = 15, **settings: Any) -> AccessTokens:
    return AccessTokens(keys(**settings), timedelta(minutes=minutes))


def refresh_tokens(days: float = 30) -> RefreshTokens:
    return RefreshTokens(keys(), timedelta(days=days))


def sessions() -> Sessions:
    return Sessions(access_tokens(), refresh_tokens(), LoginLimits(keys()), lambda: None)
