"""Celery signs: whether a worker answers, and whether Flower lets in whom it should, and nobody else."""

from __future__ import annotations

import socket

from airflow_rest_api.services.components import celery_control, celery_setup, web_signs
from airflow_rest_api.services.components.recipe import Wishes
from airflow_rest_api.supervision.registry import Supervised


def of_worker(supervised: Supervised, wishes: Wishes) -> bool:
    """Tell whether the very process answers through the broker, under the name that it was given."""
    try:
        with celery_control.opened() as control:
            found = control.ask(worker_name(wishes), "stats")
    except (celery_control.BrokerUnavailable, celery_control.CeleryNotConfigured):
        return False
    return any(isinstance(said, dict) and said.get("pid") == supervised.pid for _, said in found)


def worker_name(wishes: Wishes) -> str:
    """Return the name of a worker on this host, as Celery makes it."""
    wished = str(wishes.get("celery_hostname") or socket.gethostname())
    return wished if "@" in wished else f"celery@{wished}"


def of_flower(supervised: Supervised, wishes: Wishes) -> bool:
    """Tell whether Flower's page is refused to strangers, and shown to who has the credential."""
    credential = celery_setup.flower_credential()
    port = wishes.get("port") or int(celery_setup.option("flower_port"))
    prefix = (wishes.get("url_prefix") or celery_setup.option("flower_url_prefix")).strip("/")
    page = f"{web_signs.address('http', wishes['hostname'], port)}{f'/{prefix}' if prefix else ''}/workers"
    return (
        credential is not None
        and web_signs.listens(supervised, port)
        and web_signs.answer(page) == 401
        and web_signs.answer(page, credential) == 200
    )
