"""Web signs: whether a process serves what it was started for.

That a port answers is not enough: it may be another server's that has the port already. So the port has to be one on
which the process itself, or one of its children, listens.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psutil
from airflow.configuration import conf

from airflow_rest_api.services.components.recipe import Wishes
from airflow_rest_api.supervision.registry import Supervised

_SECONDS = 2.0
# Who listens on all addresses can be spoken to on this one.
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def of_api_server(supervised: Supervised, wishes: Wishes) -> bool:
    """Tell whether an API server answers for the part of Airflow that it was started for."""
    port = wishes.get("port") or conf.getint("api", "port")
    path = "/execution/health" if wishes.get("apps") == ["execution"] else "/api/v2/version"
    scheme = "https" if conf.get("api", "ssl_cert", fallback="") else "http"
    return listens(supervised, port) and answer(f"{address(scheme, wishes['host'], port)}{path}") == 200


def address(scheme: str, host: str, port: int) -> str:
    """Return the address of a server on this host that was bound to ``host``."""
    host = _ANY_ADDRESS.get(host, host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def answer(url: str, auth: tuple[str, str] | None = None) -> int | None:
    """Return the status with which an address of this host answers, None where it does not."""
    try:
        # A certificate is for the name by which others know this host; nothing is sent that could be stolen.
        with httpx.Client(verify=False, timeout=_SECONDS, trust_env=False, auth=auth) as client:  # noqa: S501
            return client.get(url).status_code
    except httpx.HTTPError:
        return None


def listens(supervised: Supervised, port: int) -> bool:
    """Tell whether a process, or one that came of it, listens on a port."""
    return port in set(_ports(supervised.pid)) if supervised.pid is not None else False


def _ports(pid: int) -> Iterator[int]:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return
    for one in family:
        try:
            connections = one.net_connections("tcp")
        except psutil.Error:
            continue
        yield from (entry.laddr.port for entry in connections if entry.status == psutil.CONN_LISTEN)
