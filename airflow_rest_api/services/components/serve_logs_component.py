"""Serve-logs component: serves the logs of the tasks that ran on this host, to Airflow's API servers."""

from __future__ import annotations

from http import HTTPStatus

from airflow.configuration import conf

from airflow_rest_api.services.components import web_signs
from airflow_rest_api.services.components.airflow_components import HOST, HOST_LENGTH, LOOPBACK
from airflow_rest_api.services.components.options import number, text
from airflow_rest_api.services.components.recipe import Recipe, Wishes
from airflow_rest_api.supervision.registry import Supervised


def _is_ready(supervised: Supervised, wishes: Wishes) -> bool:
    """Tell whether it refuses who has no token."""
    port = wishes.get("port") or conf.getint("logging", "worker_log_server_port")
    url = f"{web_signs.address('http', wishes['host'], port)}/log/none"
    return web_signs.listens(supervised, port) and web_signs.answer(url) == HTTPStatus.FORBIDDEN


SERVE_LOGS = Recipe(
    "serve-logs",
    "Serves the logs of tasks that ran on this host, to whoever has Airflow's token for one",
    ("airflow_rest_api.log_server",),
    {"host": text("--host", HOST, HOST_LENGTH), "port": number("--port", 1, 65_535)},
    _is_ready,
    defaults={"host": LOOPBACK},
)
