"""Send the requests of a record to the application of this checkout, each on the scenario's database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from starlette.testclient import TestClient

from airflow_rest_api.security.refusals import Refusals
from tests.behaviour.collection import ROLE
from tests.behaviour.normal import Normalizer
from tests.behaviour.recorded import Entry, Outcome, Request
from tests.support import clients, environment, manual_calls, template

READS = {"GET", "HEAD"}
AUDITED = "SELECT event, dag_id, task_id, run_id, map_index, owner, extra FROM log WHERE id > ? ORDER BY id"


class Player:
    """Sends requests to the application in this process, which runs in ``home``."""

    def __init__(self, home: Path) -> None:
        from airflow_rest_api.web.app import create_application

        self._home = home
        self._http = TestClient(create_application(), raise_server_exceptions=False)
        self._tokens = clients.Tokens()
        self._rest = clients.Client(self._http, clients.REST, self._tokens)
        self._normal = Normalizer({str(home): "{home}", str(environment.ROOT): "{root}"})

    def play(self, requests: Iterable[Request]) -> Iterator[Entry]:
        """Yield each request with its outcome; a change is undone before the next request.

        Rejected calls are not counted: a thread updates their rows later, by ids that other rows have by then.
        """
        with mock.patch.object(Refusals, "count"):
            for request in requests:
                yield Entry(request, self._outcome(request))

    def _outcome(self, request: Request) -> Outcome:
        if request.arranged is not None:
            manual_calls.arrange(self._rest, self._home / environment.DRAFTS, request.arranged)
        last = self._last_audit_row()
        response = self._http.send(self._built(request), follow_redirects=False)
        content = response.read()
        audit = self._audit_rows(last)
        if audit or request.method not in READS:
            self._restore()
        headers = [(name, value) for name, value in response.headers.multi_items()]
        return Outcome(
            response.status_code,
            self._normal.headers(headers),
            self._normal.body(response.headers.get("content-type", ""), content),
            audit,
        )

    def _built(self, request: Request) -> httpx.Request:
        sent = [
            ("authorization", f"Bearer {self._tokens(value)}") if name == ROLE else (name, value)
            for name, value in request.headers
        ]
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
        return self._http.build_request(
            request.method, f"http://testserver{request.target}", headers=headers, content=request.body
        )

    def _last_audit_row(self) -> int:
        with self._database() as database:
            return int(database.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()[0])

    def _audit_rows(self, last: int) -> list[dict[str, Any]]:
        with self._database() as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(AUDITED, (last,)).fetchall()
        plain = [{**dict(row), "extra": json.loads(row["extra"] or "null")} for row in rows]
        audit: list[dict[str, Any]] = json.loads(self._normal.body("json", json.dumps(plain).encode()))
        return audit

    def _database(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self._home / "airflow.db", timeout=30))

    def _restore(self) -> None:
        from airflow_rest_api.services import background
        from airflow_rest_api.services.deployments import deployment_following

        deployment_following.stop_all()
        background.pause_all()
        template.restore(self._home)
