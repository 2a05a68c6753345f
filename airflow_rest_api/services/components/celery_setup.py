"""Celery setup: whether Airflow is set up to run tasks by Celery, and what its configuration says of that.

Celery is imported nowhere here: an installation without it has to be told so.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

from airflow.configuration import conf

_PROVIDER = "airflow.providers.celery"


def lack() -> str | None:
    """Return in one sentence what Celery needs and this installation lacks, None where nothing is lacking."""
    if not (_is_installed("celery") and _is_installed(_PROVIDER)):
        return "The package apache-airflow-providers-celery is not installed."
    if not _runs_tasks():
        return "No Celery executor is named in [core] executor of Airflow's configuration."
    return None


def flower_lack() -> str | None:
    """Return in one sentence what Flower needs and this installation lacks, None where nothing is lacking."""
    if (found := lack()) is not None:
        return found
    if not _is_installed("flower"):
        return "The package flower is not installed."
    if flower_credential() is None:
        return "Without [celery] flower_basic_auth in Airflow's configuration anybody could use it."
    return None


def flower_credential() -> tuple[str, str] | None:
    """Return the first name and password that Flower takes, None where there is none."""
    name, colon, password = option("flower_basic_auth").split(",")[0].partition(":")
    return (name, password) if name and colon and password else None


def option(name: str) -> str:
    """Return an option of Celery's, also one that a command or a secrets backend gives, empty where it is not set."""
    # Only with the provider's configuration Airflow knows which options may come from `_CMD` and `_SECRET`.
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()
    return conf.get("celery", name, fallback="") or ""


def _runs_tasks() -> bool:
    """Tell whether one of the executors, of whatever team and by whatever path, is called after Celery."""
    words = re.split(r"[\s,;:=]+", conf.get("core", "executor", fallback="") or "")
    return any("celery" in word.rpartition(".")[2].lower() for word in words)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
