"""Fuzzing: schemathesis over a whole contract, of version 1 or of the old calls, against a real server."""

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

# Each contract by its name below `/rest_api/v1/`, with what is checked of it.
CONFIGURATIONS = {
    "openapi": Path(__file__).with_name("schemathesis.toml"),
    "legacy": Path(__file__).with_name("schemathesis_old.toml"),
}
# The old dispatchers took what they did not know, and a token that cannot be read was 422.
LEFT_OUT = {"openapi": [], "legacy": ["--exclude-checks", "ignored_auth,negative_data_rejection"]}
PASSWORD = "admin-password"
HEADER_TOKEN = "a-header-token"


def run(cases: int, home: Path, *extra: str, contract: str = "openapi") -> subprocess.CompletedProcess[str]:
    """Run all checks, `cases` examples per operation and phase; the result holds schemathesis' report."""
    with servers.running(
        "standalone", home, AIRFLOW__REST_API__HTTP_TOKEN=f"fuzz:admin:{HEADER_TOKEN}"
    ) as server:
        token = login(server.url)
        command = [
            str(servers.PROGRAMS / "schemathesis"),
            "--config-file",
            str(CONFIGURATIONS[contract]),
            "run",
            f"{server.url}/rest_api/v1/{contract}.json",
        ]
        command += [
            "--checks",
            "all",
            *LEFT_OUT[contract],
            "--max-examples",
            str(cases),
            "--no-color",
            *extra,
        ]
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
    parser.add_argument("--contract", choices=CONFIGURATIONS, help="one of the contracts alone")
    parser.add_argument("schemathesis", nargs="*", help="further arguments for schemathesis, after --")
    options = parser.parse_args()
    codes = []
    for contract in [options.contract] if options.contract else CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as folder:
            result = run(options.cases, Path(folder), *options.schemathesis, contract=contract)
        sys.stdout.write(result.stdout + result.stderr)
        codes.append(result.returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
