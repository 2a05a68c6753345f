"""Airflow components: scheduler, DAG processor, triggerer and API server, with the options of Airflow 3.3's commands.

Left out are those of a daemon (`--daemon`, `--pid`, `--stdout` …), which are the supervisor's work, `--dev`, and
those that name files: what an API server encrypts with is a matter of Airflow's configuration.
"""

from __future__ import annotations

from airflow.configuration import conf

from airflow_rest_api.services import jobs
from airflow_rest_api.services.components import job_signs, web_signs
from airflow_rest_api.services.components.options import choices, joined, number, repeated, switch, text
from airflow_rest_api.services.components.recipe import Recipe, Wishes

# Names of bundles, queues and teams: Airflow takes nearly any text, a command line had better not.
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$"
NAME_LENGTH = 100
# A name or an address, of IPv6 without brackets.
HOST = r"^[A-Za-z0-9_:][A-Za-z0-9_.:-]*$"
HOST_LENGTH = 253
LOOPBACK = "127.0.0.1"
_MOST_RUNS = 1_000_000
_APPS = ("core", "execution", "all")


def _is_bounded(wishes: Wishes) -> bool:
    return "num_runs" in wishes


def _scheduler_fault(wishes: Wishes) -> tuple[str, str] | None:
    if wishes.get("only_idle") and "num_runs" not in wishes:
        return "only_idle", "needs num_runs beside it"
    return None


def _triggerer_fault(wishes: Wishes) -> tuple[str, str] | None:
    if "queues" in wishes and not conf.getboolean("triggerer", "queues_enabled", fallback=False):
        return "queues", "needs [triggerer] queues_enabled in Airflow's configuration"
    if "team_name" in wishes and not conf.getboolean("core", "multi_team"):
        return "team_name", "needs [core] multi_team in Airflow's configuration"
    return None


SCHEDULER = Recipe(
    "scheduler",
    "Decides what runs when, and hands it to the executor; with the LocalExecutor it runs the tasks as well",
    ("airflow", "scheduler"),
    {
        "num_runs": number("--num-runs", 1, _MOST_RUNS),
        "only_idle": switch("--only-idle"),
        "skip_serve_logs": switch("--skip-serve-logs"),
        "verbose": switch("--verbose"),
    },
    job_signs.of(jobs.SCHEDULER),
    fault=_scheduler_fault,
    ends=_is_bounded,
    job_type=jobs.SCHEDULER,
)
DAG_PROCESSOR = Recipe(
    "dag-processor",
    "Parses DAG files",
    ("airflow", "dag-processor"),
    {
        "bundle_name": repeated("--bundle-name", NAME, NAME_LENGTH),
        "num_runs": number("--num-runs", 1, _MOST_RUNS),
        "verbose": switch("--verbose"),
    },
    job_signs.of(jobs.DAG_PROCESSOR),
    ends=_is_bounded,
    job_type=jobs.DAG_PROCESSOR,
)
TRIGGERER = Recipe(
    "triggerer",
    "Waits on behalf of deferred tasks",
    ("airflow", "triggerer"),
    {
        "capacity": number("--capacity", 1, 1_000_000),
        "queues": joined("--queues", NAME, NAME_LENGTH),
        "skip_serve_logs": switch("--skip-serve-logs"),
        "team_name": text("--team-name", NAME, 50),
        "verbose": switch("--verbose"),
    },
    job_signs.of(jobs.TRIGGERER),
    fault=_triggerer_fault,
    job_type=jobs.TRIGGERER,
)
API_SERVER = Recipe(
    "api-server",
    "Serves Airflow's pages, its REST API, and the interface that tasks speak to",
    ("airflow", "api-server"),
    {
        "host": text("--host", HOST, HOST_LENGTH),
        "port": number("--port", 1, 65_535),
        "workers": number("--workers", 1, 64),
        "worker_timeout": number("--worker-timeout", 1, 86_400),
        "apps": choices("--apps", _APPS),
        "proxy_headers": switch("--proxy-headers"),
    },
    web_signs.of_api_server,
    defaults={"host": LOOPBACK},
)
