"""Fuzzing: schemathesis over a whole contract, of version 1 or of the old calls, against a real server."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support import environment, fuzz_examples, servers, template
from tests.support.fuzz_shares import MOST_REJECTED, Shares

# Each contract by its name below `/rest_api/v1/`, with what is checked of it.
CONFIGURATIONS = {
    "openapi": Path(__file__).with_name("schemathesis.toml"),
    "legacy": Path(__file__).with_name("schemathesis_old.toml"),
}
BASE_PATHS = {"openapi": "/rest_api/v1", "legacy": "/rest_api/api"}
CONSTRAINTS = "x-constraints"
# The old dispatchers took what they did not know, and a token that cannot be read was 422.
LEFT_OUT = {"openapi": [], "legacy": ["--exclude-checks", "ignored_auth,negative_data_rejection"]}
PASSWORD = "admin-password"
HEADER_TOKEN = "a-header-token"
# Logouts that a run may make.
SPARE_TOKENS = 200
# The features that are off by default are on, so that their operations do more than return 403.
FEATURES = {
    "AIRFLOW__REST_API__DEPLOY_ENABLED": "True",
    "AIRFLOW__REST_API__TEST_ENABLED": "True",
    "AIRFLOW__REST_API__REVEAL_ENABLED": "True",
    "AIRFLOW__REST_API__COMPONENTS_ENABLED": "scheduler, triggerer, serve-logs",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
}


@dataclass(frozen=True)
class Run:
    """The result of one run: the exit status and report of schemathesis, and the statuses of all responses."""

    contract: str
    returncode: int
    report: str
    shares: Shares

    def failures(self) -> list[str]:
        """Return what the run must not have: failed checks, and too many 401 and 403."""
        found = []
        if self.returncode:
            found.append(self.report)
        if self.shares.rejected > MOST_REJECTED[self.contract]:
            found.append(f"{100 * self.shares.rejected:.1f} % of the responses are 401 or 403.")
        return found


def run(cases: int, home: Path, *extra: str, contract: str = "openapi") -> Run:
    """Run all checks, `cases` examples per operation and phase."""
    header_token = {"AIRFLOW__REST_API__HTTP_TOKEN": f"fuzz:admin:{HEADER_TOKEN}"}
    settings = {**FEATURES, **header_token, **environment.own_dags(home)}
    started = servers.running("resting", home, is_covered=False, **settings)
    with started as server, _components_stopped(server.url):
        record, spare = home / "responses.jsonl", home / "tokens"
        spare.write_text("\n".join(login(server.url) for _ in range(SPARE_TOKENS)))
        checked = _checked_contract(server.url, contract, home)
        database, prepared = home / "airflow.db", home / "prepared.db"
        template.back_up(database, prepared)
        result = subprocess.run(
            [
                *(str(servers.PROGRAMS / "schemathesis"), "--config-file", str(CONFIGURATIONS[contract])),
                *("run", str(checked)),
                *("--url", f"{server.url}{BASE_PATHS[contract]}"),
                *("--checks", "all", *LEFT_OUT[contract]),
                *("--max-examples", str(cases), "--no-color", *extra),
            ],
            cwd=environment.ROOT,
            env={
                **os.environ,
                "TOKEN": login(server.url),
                "HEADER_TOKEN": HEADER_TOKEN,
                "RECORD": str(record),
                "SPARE_TOKENS": str(spare),
                "DATABASE": str(database),
                "PREPARED": str(prepared),
                "PYTHONPATH": str(environment.ROOT),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(contract, result.returncode, result.stdout + result.stderr, Shares.read(record))


def _checked_contract(url: str, name: str, home: Path) -> Path:
    """Write a contract that states all that the service checks, with examples that succeed, and return its path.

    `x-constraints` become a part of their schemas: generators of clients must not see them, a fuzzer has to.
    """
    document = _constrained(httpx.get(f"{url}/rest_api/v1/{name}.json", timeout=60).json())
    if name == "openapi":
        with _client(url) as client:
            fuzz_examples.put_into(document, fuzz_examples.prepare(client))
    path = home / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def _constrained(node: Any) -> Any:
    if isinstance(node, list):
        return [_constrained(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    made = {name: _constrained(entry) for name, entry in node.items() if name != CONSTRAINTS}
    if CONSTRAINTS in node:
        made["allOf"] = [*made.get("allOf", []), node[CONSTRAINTS]]
    return made


def login(url: str) -> str:
    response = httpx.post(
        f"{url}/rest_api/v1/security/login", json={"username": "admin", "password": PASSWORD}, timeout=30
    )
    token: str = response.json()["access_token"]
    return token


def _client(url: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {login(url)}"}
    return httpx.Client(base_url=f"{url}/rest_api/v1", headers=headers, timeout=60)


@contextmanager
def _components_stopped(url: str) -> Iterator[None]:
    """Stop in the end whatever components a generated request has started."""
    yield
    with _client(url) as client:
        for component in client.get("/components").json()["components"]:
            for process in component["processes"]:
                query = {"instance": process["instance"]} if process["instance"] else {}
                body = {"grace_seconds": 0}
                operation = client.post(f"/components/{component['name']}/stop", params=query, json=body)
                if operation.status_code == 202:
                    client.get(f"/operations/{operation.json()['operation_id']}", params={"wait": 30})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=25, help="examples per operation and phase")
    parser.add_argument("--contract", choices=CONFIGURATIONS, help="one of the contracts alone")
    parser.add_argument("schemathesis", nargs="*", help="further arguments for schemathesis, after --")
    options = parser.parse_args()
    failed = False
    for contract in [options.contract] if options.contract else CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as folder:
            result = run(options.cases, Path(folder), *options.schemathesis, contract=contract)
        sys.stdout.write(f"{result.report}\n{result.shares.table()}\n")
        failed = failed or bool(result.failures())
        for name in result.shares.without_success():
            sys.stdout.write(f"no success: {name}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
