"""Child processes under an auth manager of their choice: a process of Airflow's knows one, from its start on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import environment, template

MANAGERS = {
    "simple": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "fab": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
}


def told(
    home: Path,
    manager: str,
    module: str,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    is_covered: bool = False,
    seconds: float = 100,
) -> dict[str, Any]:
    """Run a module in a fresh home under this manager, and return the last JSON object that it printed.

    `settings` are further variables of its environment; with `is_covered` what it runs counts for the coverage.
    """
    variables = environment.prepare(home)
    template.copy_to(home)
    variables |= {"AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[manager], "PYTHONPATH": str(environment.ROOT)}
    variables |= {"AIRFLOW__FAB__UPDATE_FAB_PERMS": "True", **(settings or {})}
    covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        env=environment.without_coverage(environment.inherited())
        | variables
        | (covered if is_covered else {}),
        cwd=environment.ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    # Airflow logs to the same place, and may do so to the last moment.
    *_, last = (line for line in result.stdout.splitlines() if line.startswith("{"))
    found: dict[str, Any] = json.loads(last)
    return found
