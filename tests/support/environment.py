"""The settings of the Airflow that the tests run in. Nothing here may import Airflow, which reads them on import."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support import canaries
from tests.support.canaries import ROLES, password_of

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "tests" / "dags"
# The bundle in a home that tests may write to, and the first: the other one is `DAGS` itself.
DRAFTS = "drafts"
FOREIGN = ("AIRFLOW__", "AIRFLOW_", "_AIRFLOW_")


def local_bundle(name: str, folder: Path) -> dict[str, object]:
    """The configuration of a bundle that is a folder."""
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": local, "kwargs": {"path": str(folder)}}


def sqlite_url(home: Path) -> str:
    """The address of a home's own database; a writer waits 30 s for another one to end."""
    return f"sqlite:///{home}/airflow.db?timeout=30"


def settings(home: Path, database_url: str | None = None) -> dict[str, str]:
    """The whole environment of an Airflow in the folder `home`, by default on the SQLite file in there."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url or sqlite_url(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [local_bundle(DRAFTS, home / DRAFTS), local_bundle("dags-folder", DAGS)]
        ),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "True",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": canaries.FERNET_KEY,
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__SECRET_KEY": canaries.SECRET_KEY,
        "AIRFLOW__API_AUTH__JWT_SECRET": canaries.JWT_SECRET,
        "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME": "86400",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://:{canaries.BROKER_PASSWORD}@broker.invalid:6379/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://airflow:{canaries.RESULTS_PASSWORD}@db.invalid/airflow",
        "AIRFLOW__SMTP__SMTP_PASSWORD": canaries.SMTP_PASSWORD,
        "AIRFLOW__ELASTICSEARCH__PASSWORD": canaries.ELASTICSEARCH_PASSWORD,
        "AIRFLOW__SENTRY__SENTRY_DSN": f"https://{canaries.SENTRY_KEY}@sentry.invalid/1",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__UVICORN_LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__REST_API__UPLOAD_ROOTS": f"files={home}/files",
    }


def own_dags(home: Path) -> dict[str, str]:
    """Copy the DAG files into a home, and return the settings of an Airflow that may change and delete them."""
    folder = home / "dags"
    shutil.copytree(DAGS, folder, dirs_exist_ok=True)
    bundles = [local_bundle(DRAFTS, home / DRAFTS), local_bundle("dags-folder", folder)]
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
    }


def prepare(home: Path, database_url: str | None = None) -> dict[str, str]:
    """Make the folders and files of a home, and give the environment of processes that live in it.

    The environment is also kept in the home, for a test session that joins a server there (`recorded`).
    """
    for name in ("files", "logs", "plugins", DRAFTS):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "passwords.json").write_text(json.dumps({role: password_of(role) for role in ROLES}))
    variables = settings(home, database_url)
    (home / "environment.json").write_text(json.dumps(variables, indent=1))
    return variables


def recorded(home: Path) -> dict[str, str]:
    """The environment that a home was prepared with."""
    variables: dict[str, str] = json.loads((home / "environment.json").read_text())
    return variables


def inherited() -> dict[str, str]:
    """This process's environment without Airflow's settings: what a child process needs beside its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def without_coverage(variables: Mapping[str, str]) -> dict[str, str]:
    """These variables but for those of coverage, which slows child processes and handles their SIGTERM."""
    return {name: value for name, value in variables.items() if not name.startswith("COV")}


def enter(environment: dict[str, str]) -> None:
    """Make `environment` the only Airflow settings of this process and of its children."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            del os.environ[name]
    os.environ.update(environment)
