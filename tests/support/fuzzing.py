"""Fuzzing: schemathesis over the whole contract, against a real server on a copy of the scenario."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests.support import environment, servers

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
PASSWORD = "admin-password"
HEADER_TOKEN = "a-header-token"


def run(cases: int, home: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    """Run all checks, `cases` examples per operation and phase; the result holds schemathesis' report."""
    with servers.running(
        "standalone", home, AIRFLOW__REST_API__HTTP_TOKEN=f"fuzz:admin:{HEADER_TOKEN}"
    ) as server:
        token = login(server.url)
        contract = f"{server.url}/rest_api/v1/openapi.json"
        command = [
            str(servers.PROGRAMS / "schemathesis"),
            "--config-file",
            str(CONFIGURATION),
            "run",
            contract,
        ]
        command += ["--checks", "all", "--max-examples", str(cases), "--no-color", *extra]
        return subprocess.run(
            command,
            cwd=environment.ROOT,
            env={
                **os.environ,
                "TOKEN": token,
                "HEADER_TOKEN": HEADER_TOKEN,
                "PYTHONPATH": str(environment.ROOT),
            },
            capture_output=True,
            text=True,
            check=False,
        )


def login(url: str) -> str:
    answer = httpx.post(
        f"{url}/rest_api/v1/security/login", json={"username": "admin", "password": PASSWORD}, timeout=30
    )
    return json.loads(answer.text)["access_token"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=25, help="examples per operation and phase")
    parser.add_argument("schemathesis", nargs="*", help="further arguments for schemathesis, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.cases, Path(folder), *options.schemathesis)
    sys.stdout.write(result.stdout + result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
