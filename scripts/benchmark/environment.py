"""The settings that both servers run with: one Airflow home, one user, one set of secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

USERNAME = "bench"
PASSWORD = "bench"


def prepare(home: Path, database_url: str) -> dict[str, str]:
    """Make the folders and the password file of an Airflow home; the environment of its processes."""
    (home / "dags").mkdir(parents=True, exist_ok=True)
    passwords = home / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({USERNAME: PASSWORD}))
    return {**_inherited(os.environ), **_settings(home, database_url)}


def _inherited(outer: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would change a measurement."""
    refused = ("AIRFLOW__", "_AIRFLOW_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in outer.items() if not name.startswith(refused)}


def _settings(home: Path, database_url: str) -> dict[str, str]:
    # Fixed secrets are enough for servers on the loopback address, and let one token be read on both sides.
    secret = "benchmark-" * 8
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME": "86400",
        "AIRFLOW__REST_API__ACCESS_TOKEN_MINUTES": "1440",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__UVICORN_LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }
