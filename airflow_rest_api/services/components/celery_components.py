"""Celery components: the worker that runs tasks for the Celery executor, and Flower, which looks at workers.

Left out of the options of `airflow celery worker` and `airflow celery flower` are those of a daemon, those that name
files, and those that would put a secret on the command line: Flower's credentials come from Airflow's configuration,
`[celery] flower_basic_auth`, and from nowhere else.
"""

from __future__ import annotations

from airflow.configuration import conf

from airflow_rest_api.services.components import celery_setup, celery_signs
from airflow_rest_api.services.components.airflow_components import (
    HOST,
    HOST_LENGTH,
    LOOPBACK,
    NAME,
    NAME_LENGTH,
)
from airflow_rest_api.services.components.options import joined, number, switch, text
from airflow_rest_api.services.components.recipe import Recipe, Wishes

# The whole name of a worker, `celery@` and the host, or what comes after the `@`.
WORKER_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.@:-]*$"
_AUTOSCALE = r"^[0-9]{1,4},[0-9]{1,4}$"
_PREFIX = r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"


def _worker_fault(wishes: Wishes) -> tuple[str, str] | None:
    if str(wishes.get("celery_hostname", "")).count("@") > 1:
        return "celery_hostname", "has more than one '@'"
    most, _, least = str(wishes.get("autoscale", "1,0")).partition(",")
    if int(most) < max(1, int(least)):
        return "autoscale", "is 'MOST,LEAST', the most at least 1"
    if "team" in wishes and not conf.getboolean("core", "multi_team"):
        return "team", "needs [core] multi_team in Airflow's configuration"
    return None


WORKER = Recipe(
    "celery-worker",
    "Runs tasks for the Celery executor",
    ("airflow", "celery", "worker"),
    {
        "queues": joined("--queues", NAME, NAME_LENGTH),
        "concurrency": number("--concurrency", 1, 1_000),
        "autoscale": text("--autoscale", _AUTOSCALE, 9),
        "celery_hostname": text("--celery-hostname", WORKER_NAME, HOST_LENGTH),
        "team": text("--team", NAME, 50),
        "skip_serve_logs": switch("--skip-serve-logs"),
        "without_gossip": switch("--without-gossip"),
        "without_mingle": switch("--without-mingle"),
        "verbose": switch("--verbose"),
    },
    celery_signs.of_worker,
    missing=celery_setup.lack,
    fault=_worker_fault,
    ready_seconds=90.0,
)
FLOWER = Recipe(
    "celery-flower",
    "Shows Celery's workers and tasks on a page, and controls them",
    ("airflow", "celery", "flower"),
    {
        "hostname": text("--hostname", HOST, HOST_LENGTH),
        "port": number("--port", 1, 65_535),
        "url_prefix": text("--url-prefix", _PREFIX, 200),
        "verbose": switch("--verbose"),
    },
    celery_signs.of_flower,
    missing=celery_setup.flower_lack,
    defaults={"hostname": LOOPBACK},
)
