"""Airflow's configuration, as far as this service reads it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from airflow.configuration import AIRFLOW_CONFIG, AIRFLOW_HOME, conf
from sqlalchemy.engine import make_url


def option(section: str, name: str) -> str | None:
    """Return the value of an option of `airflow.cfg` or the environment, None where it is not set or empty."""
    value = conf.get(section, name, fallback=None)
    return value or None


def option_names(section: str) -> frozenset[str]:
    """Return the names of the options that somebody has set in a section, in `airflow.cfg` or the environment."""
    prefix = f"AIRFLOW__{section.upper()}__"
    in_environment = {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
    in_file = conf.options(section) if conf.has_section(section) else ()
    return frozenset({*in_environment, *in_file})


def file_path() -> Path:
    """Return where `airflow.cfg` is."""
    return Path(AIRFLOW_CONFIG)


def be_a_server() -> None:
    """Let Airflow find connections in its database, as in its own API server: it looks there for servers alone."""
    # Airflow 3.3, `airflow.sdk.execution_time.supervisor.ensure_secrets_backend_loaded`.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"


def home() -> Path:
    """Return Airflow's own folder, in which its configuration and, by default, its database and logs are."""
    return Path(AIRFLOW_HOME)


def in_environment(prefix: str, name: str) -> bool:
    """Tell whether the environment gives a variable or connection, as Airflow's processes read it there."""
    return f"{prefix}{name.upper()}" in os.environ


def state_folder() -> Path:
    """Return the folder of this service's own files, all of which can be made again."""
    return home() / "rest_api"


def plugins_folder() -> Path:
    """Return the folder from which every process of Airflow imports plugins."""
    return Path(conf.get("core", "plugins_folder"))


def log_folder() -> Path:
    """Return the folder in which Airflow keeps its logs."""
    return Path(conf.get("logging", "base_log_folder"))


def database_files() -> list[Path]:
    """Return the files of Airflow's database where that is SQLite."""
    url = make_url(conf.get("database", "sql_alchemy_conn"))
    if url.get_backend_name() != "sqlite" or not url.database:
        return []
    return [Path(f"{url.database}{ending}") for ending in ("", "-journal", "-wal", "-shm")]


def dags_folder() -> Path:
    """Return the folder from which Airflow takes DAG files unless it is told otherwise."""
    return Path(conf.get("core", "dags_folder"))


def everybody_is_admin() -> bool:
    """Tell whether the SimpleAuthManager makes an administrator of everybody, as `airflow standalone` sets it."""
    return bool(conf.getboolean("core", "simple_auth_manager_all_admins", fallback=False))


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
