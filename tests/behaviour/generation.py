"""Requests that schemathesis generates from the contract, the same in each run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import hypothesis
import schemathesis
from requests import Request as Prepared
from schemathesis import GenerationMode

from airflow_rest_api.web import contract
from tests.behaviour.recorded import Request
from tests.support import clients

# The credential is that of a role, `content-length` follows from the body, the last one is random.
LEFT_OUT = {
    "authorization",
    "rest_api_plugin_http_token",
    "cookie",
    "content-length",
    "x-schemathesis-testcaseid",
}
REQUEST = ("method", "url", "headers", "files", "data", "json", "params", "auth", "cookies")


def requests(number: int, left_out: Collection[str]) -> Iterator[Request]:
    """Return generated requests, as many of each operation; operations that ``left_out`` names are skipped."""
    schema = schemathesis.openapi.from_dict(contract.load("openapi.yaml"))
    operations = [found.ok() for found in schema.get_all_operations()]
    wanted = [entry for entry in operations if entry.definition.raw["operationId"] not in left_out]
    each = -(-number // len(wanted))
    made = (
        _request(f"generated {operation.label} {index}", case)
        for operation in wanted
        for index, case in enumerate(_cases(operation, each))
    )
    return islice(made, number)


def _cases(operation: Any, number: int) -> list[Any]:
    """Return cases of an operation, one half of them valid."""
    found: list[Any] = []
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        found += _of_mode(operation, mode, -(-number // 2))
    return found[:number]


def _of_mode(operation: Any, mode: GenerationMode, number: int) -> list[Any]:
    found: list[Any] = []

    @hypothesis.settings(
        derandomize=True,
        max_examples=number,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        found.append(case)

    collect()
    return found


def _request(label: str, case: Any) -> Request:
    arguments = case.as_transport_kwargs(base_url=f"http://service{clients.REST}")
    sent = Prepared(**{name: value for name, value in arguments.items() if name in REQUEST}).prepare()
    kept = [(name, _text(value)) for name, value in sent.headers.items() if name.lower() not in LEFT_OUT]
    body = sent.body or b""
    content = body.encode() if isinstance(body, str) else bytes(body)
    return Request(label, case.method.upper(), sent.path_url, [*kept, ("x-role", "admin")], content)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
