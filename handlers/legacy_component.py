"""LegacyComponent: the operations of `openapi/paths/legacy_component.yaml`."""

from __future__ import annotations

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import starting
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.settings import Settings


def kerberos(
    call: Call,
    *,
    caller: Caller,
    background: Background,
    settings: Settings,
    principal: str,
    keytab: str | None,
) -> Json:
    """Start the Kerberos ticket renewer."""
    options = {"principal": principal, "keytab": keytab}
    return starting.start(call, "kerberos", options, caller=caller, background=background, settings=settings)


def worker(
    call: Call,
    *,
    caller: Caller,
    background: Background,
    settings: Settings,
    queues: str | None,
    concurrency: str | None,
) -> Json:
    """Start a Celery worker."""
    options = {"queues": starting.names(queues), "concurrency": starting.number("concurrency", concurrency)}
    return starting.start(
        call, "celery-worker", options, caller=caller, background=background, settings=settings
    )


def flower(
    call: Call,
    *,
    caller: Caller,
    background: Background,
    settings: Settings,
    hostname: str | None,
    port: str | None,
    flower_conf: str | None,
    broker_api: str | None,
) -> Json:
    """Start Flower."""
    told = starting.not_taken(flower_conf=flower_conf, broker_api=broker_api)
    options = {"hostname": hostname, "port": starting.number("port", port)}
    return starting.start(
        call, "celery-flower", options, caller=caller, background=background, settings=settings, warning=told
    )


def scheduler(
    call: Call, *, caller: Caller, background: Background, settings: Settings, num_runs: str | None
) -> Json:
    """Start a scheduler."""
    options = {"num_runs": starting.rounds(num_runs)}
    return starting.start(call, "scheduler", options, caller=caller, background=background, settings=settings)


def serve_logs(call: Call, *, caller: Caller, background: Background, settings: Settings) -> Json:
    """Start the log server."""
    return starting.start(call, "serve-logs", {}, caller=caller, background=background, settings=settings)


post_kerberos = kerberos
post_worker = worker
post_flower = flower
post_scheduler = scheduler
post_serve_logs = serve_logs
