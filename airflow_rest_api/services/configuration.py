"""Airflow's configuration, as far as this service reads it."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.configuration import conf


def option(section: str, name: str) -> str | None:
    """Return the value of an option of `airflow.cfg` or the environment, None where it is not set or empty."""
    value = conf.get(section, name, fallback=None)
    return value or None


def connection_pool_size() -> int:
    """Return how many connections Airflow's pool opens at the most in this process; 0 when it has no bound."""
    if not conf.getboolean("database", "sql_alchemy_pool_enabled", fallback=True):
        return 0
    overflow = conf.getint("database", "sql_alchemy_max_overflow", fallback=10)
    size = conf.getint("database", "sql_alchemy_pool_size", fallback=5)
    return 0 if overflow < 0 or size == 0 else size + overflow


def base_path() -> str:
    """Return the path below which Airflow is published, from `[api] base_url`: empty, or `/path` without a slash."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
