"""The requests of a record: all examples of the contracts, all calls of the old manuals, and generated ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx

from airflow_rest_api.web import contract
from tests.behaviour import generation
from tests.behaviour.recorded import Request
from tests.support import calls, clients, manual_calls, old_calls

GENERATED = 500
ROLE = "x-role"
# Their results depend on the threads of this process and not on the request.
LEFT_OUT = {"get_metrics"}
# No scheduler runs, so these would wait for their end.
WITHOUT_WAITING = {"/run": {"mark_success": "true"}, "/backfill": {"dry_run": "true"}}


def all_requests(generated: int = GENERATED) -> Iterator[Request]:
    """Yield every request of a record, reads and changes, in a fixed order."""
    yield from examples("openapi.yaml", clients.REST)
    for door in old_calls.DOORS.values():
        yield from examples("legacy.yaml", door)
    yield from manuals()
    yield from generation.requests(generated, LEFT_OUT)


def examples(name: str, prefix: str) -> Iterator[Request]:
    """Yield the examples of a contract, as the contract tests replay them."""
    document = contract.load(name)
    for operation in contract.operations(document):
        if operation.operation_id in LEFT_OUT:
            continue
        for call in calls.replays(document, operation):
            options = call.options()
            further = WITHOUT_WAITING.get(operation.path, {}) if name == "legacy.yaml" else {}
            options["params"] = {**further, **options["params"]}
            yield of_httpx(f"{name} {call}", operation.method, prefix + call.path, **options)


def manuals() -> Iterator[Request]:
    """Yield the calls that the manuals of the old plugins show."""
    for shown in manual_calls.TABLE:
        call = shown.call
        files = {name: _field(value) for name, value in call.fields}
        options: dict[str, Any] = {"files": files} if files else {}
        if call.data is not None:
            options["content"] = call.data
        made = of_httpx(f"manual {call.method} {call.address}", call.method, call.address, **options)
        yield replace(made, arranged={**dict(call.query), **call.texts})


def of_httpx(label: str, method: str, target: str, **options: Any) -> Request:
    """Return a request as httpx would send it."""
    built = httpx.Request(method, f"http://service{target}", **options)
    kept = [(name, value) for name, value in built.headers.items() if name not in ("host", "content-length")]
    raw = built.url.raw_path.decode("ascii")
    return Request(label, method, raw, [*kept, (ROLE, "admin")], built.read())


def _field(value: str) -> tuple[str | None, str]:
    return (value[1:], "weights\n") if value.startswith("@") else (None, value)
