"""The audit is complete: every changing call of a random run has its rows, and no other call has any.

Also that nothing is changed while the event log cannot be written.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support import calls, clients
from tests.support.clients import Client

CALLS, QUICK = 1000, 150
# The order in which a caller is drawn; None presents nothing, `broken` what is no token.
CALLERS = ("admin", "admin", "admin", "op", "user", "viewer", "nobody", None, "broken")
DAGS = ("manual", "etl", "example_bash_operator", "no_such_dag")
# Of callers whom nobody knows, or who come too often, only a count is kept.
COUNTED = (401, 429)


@dataclass
class Told:
    """What the event log says of the calls: statuses of the rows by request id, and the counts by status."""

    intents: Counter[str] = field(default_factory=Counter)
    outcomes: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    counted: Counter[tuple[str, int]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Made:
    """A call that was made: which operation, under which request id, and its status."""

    operation_id: str
    request_id: str
    status: int
    reads: bool
    known: bool
    is_dry: bool


def run(full: bool) -> dict[str, object]:
    """Make random calls, compare the event log with them, then try all changes with a log that cannot be written."""
    from airflow_rest_api.web import contract

    number = CALLS if full else QUICK
    document = contract.load()
    operations = contract.operations(document)
    with service() as rest:
        first = newest_row()
        made = list(random_calls(rest, document, operations, number))
        flush(rest)
        told = read_log(first)
        faults = differences(made, told)
        assert not faults, "\n".join(faults[:20])
        effects = unwritable(rest, document, operations)
    changing = [one for one in made if not one.reads]
    return {
        "calls": len(made),
        "changing calls": len(changing),
        "accepted": sum(told.intents.values()),
        "refused, one outcome": sum(1 for one in changing if not told.intents[one.request_id] and one.known),
        "refused, counted": sum(told.counted.values()),
        "calls without their rows": 0,
        "changes with an unwritable log": effects,
    }


@contextmanager
def service() -> Iterator[Client]:
    """The service in this process, on the process's own database."""
    from starlette.testclient import TestClient

    from airflow_rest_api.web.app import create_application

    with TestClient(create_application(), raise_server_exceptions=False) as http:
        yield Client(http, clients.REST, clients.Tokens())


def random_calls(rest: Client, document: Any, operations: list[Any], number: int) -> Iterator[Made]:
    """Call operations drawn by chance, as callers drawn by chance, well and badly."""
    chance = random.Random(20260101)
    plans = {one.operation_id: list(calls.replays(document, one)) for one in operations}
    changing = [one for one in operations if not one.read_only]
    for index in range(number):
        operation = chance.choice(changing if chance.random() < 0.9 else operations)
        yield made(rest, operation, chance.choice(plans[operation.operation_id]), chance, f"audit-{index}")


def made(rest: Client, operation: Any, plan: calls.Call, chance: random.Random, request_id: str) -> Made:
    """Make one call."""
    caller = chance.choice(CALLERS)
    options = spoilt(plan.options(), chance)
    path = plan.path.replace("example_bash_operator", chance.choice(DAGS))
    headers = {"X-Request-Id": request_id, **options.pop("headers", {})}
    if caller == "broken":
        headers["Authorization"] = "Bearer broken"
    elif caller is not None and operation.operation_id == "logout":
        # A token of its own: the others would all be refused from here on.
        headers["Authorization"] = f"Bearer {clients.Tokens()(caller)}"
    role = None if caller == "broken" else caller
    answer = rest.request(operation.method, path, role=role, headers=headers, **options)
    assert answer.status_code < 500, (operation.operation_id, answer.text)
    known = role is not None and not operation.anonymous and answer.status_code not in (*COUNTED, 413)
    is_dry = operation.is_dry_run(options.get("params", {}), options.get("json"))
    return Made(operation.operation_id, request_id, answer.status_code, operation.read_only, known, is_dry)


def spoilt(options: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same call, or one that is wrong in one of the ways in which clients are wrong."""
    draw = chance.randrange(10)
    if draw == 0:
        return {**options, "params": {**options["params"], "nonsense": "1"}}
    if draw == 1:
        return {"content": b"{", "headers": {"content-type": "application/json"}}
    if draw == 2:
        return {"content": b"<a/>", "headers": {"content-type": "text/xml"}}
    if draw == 3:
        return {"content": b" " * 300_000, "headers": {"content-type": "application/json"}}
    return options


def flush(rest: Client) -> None:
    """Write the counts that wait."""
    from airflow_rest_api.web.guard import Guard

    layer: Any = rest.http.app  # type: ignore[attr-defined]
    while not isinstance(layer, Guard):
        layer = layer._application
    layer._recorder._refusals.flush()


def newest_row() -> int:
    """The number of the newest row of the event log."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session(scoped=False) as session:
        return session.scalar(select(func.max(Log.id))) or 0


def read_log(first: int) -> Told:
    """Read the rows that this service wrote after the row `first`."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    told = Told()
    with create_session(scoped=False) as session:
        rows = session.execute(select(Log.event, Log.extra).where(Log.id > first)).all()
    for event, extra in rows:
        facts: Mapping[str, Any] = json.loads(extra or "{}")
        if "count" in facts:
            told.counted[event, facts["status"]] += facts["count"]
        elif facts.get("phase") == "intent":
            told.intents[facts["request_id"]] += 1
        elif facts.get("phase") == "outcome":
            told.outcomes[facts["request_id"]].append(facts["status"])
    return told


def differences(made: list[Made], told: Told) -> list[str]:
    """What the event log lacks, or has too much of."""
    faults, unknown = [], Counter[tuple[str, int]]()
    for one in made:
        intents, outcomes = told.intents[one.request_id], told.outcomes[one.request_id]
        if one.reads:
            expected = intents == 0 and outcomes == []
        elif one.status < 300:
            expected = intents == (0 if one.is_dry else 1) and outcomes == [one.status]
        elif one.known:
            expected = intents <= 1 and outcomes == [one.status]
        else:
            unknown[one.operation_id, one.status] += 1
            expected = intents == 0 and outcomes == []
        if not expected:
            faults.append(f"{one}: {intents} intents, outcomes {outcomes}")
    if unknown != told.counted:
        faults.append(f"counted {dict(told.counted)}, refused {dict(unknown)}")
    return faults


def unwritable(rest: Client, document: Any, operations: list[Any]) -> int:
    """Call every changing operation while no row can be written; tell how many changed anything or did not say so."""
    from airflow_rest_api.security import audit
    from airflow_rest_api.services import errors

    def refuse(_: Any) -> None:
        raise errors.DatabaseUnavailable

    written, audit.write = audit.write, refuse
    before = state()
    try:
        statuses = {
            operation.operation_id: rest.request(operation.method, plan.path, **plan.options()).status_code
            for operation in operations
            if not operation.read_only and not operation.anonymous
            for plan in calls.replays(document, operation)
            if not operation.is_dry_run(plan.params, plan.json)
        }
    finally:
        audit.write = written
    # What is switched off is refused before it is tried.
    off = {one.operation_id for one in operations if any(map(is_off, one.access or ()))}
    assert statuses == {name: 403 if name in off else 503 for name in statuses}, statuses
    return sum(1 for table, rows in state().items() if rows != before[table])


def is_off(rule: Mapping[str, Any]) -> bool:
    """Whether a rule refuses everybody here."""
    off = ("deploy_enabled", "test_enabled", "reveal_enabled", "components_enabled")
    return rule.get("switch") in off and "when" not in rule


def state() -> dict[str, list[Any]]:
    """The content of the tables that the operations change."""
    from airflow.models.connection import Connection
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.pool import Pool
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_rest_api.storage.tables import refresh_token, revocation

    models = (DagModel, DagRun, TaskInstance, Variable, Connection, Pool)
    tables = [*(model.__table__ for model in models), refresh_token, revocation]
    with create_session(scoped=False) as session:
        return {
            table.name: [
                tuple(map(str, row)) for row in session.execute(select(table).order_by(*table.primary_key))
            ]
            for table in tables
        }
