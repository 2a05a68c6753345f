"""Permissions: whom we refuse, `/api/v2` refuses, and nobody else; with both auth managers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.enumeration import MANAGERS
from tests.support import environment, template

LEAST = 1500


def run(full: bool) -> dict[str, object]:
    """Call every shared operation as every caller: on every kind of object, or (quick) on one of them in turn."""
    figures: dict[str, object] = {}
    cells = 0
    for manager in MANAGERS:
        found = compared(manager, every=full)
        assert found["differing"] == [], f"{manager}: {found['differing'][:10]}"
        figures[f"{manager}: cells"] = found["cells"]
        figures[f"{manager}: operations"] = found["operations"]
        figures[f"{manager}: refused by both"] = found["refused"]
        figures[f"{manager}: differing"] = 0
        cells += found["cells"]
    assert cells >= LEAST or not full, f"{cells} cells"
    return {**figures, "cells": cells}


def compared(manager: str, *, every: bool, fault: str = "none") -> dict[str, Any]:
    """Compare the two services in a process and a home of their own."""
    with tempfile.TemporaryDirectory(prefix="airflow-matrix-") as folder:
        home = Path(folder)
        variables = environment.prepare(home)
        template.copy_to(home)
        variables |= {"AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[manager], "PYTHONPATH": str(environment.ROOT)}
        variables |= {"AIRFLOW__FAB__UPDATE_FAB_PERMS": "True", "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-W", "ignore", "-m", "tests.security.matrix", manager]
        result = subprocess.run(
            [*command, "all" if every else "one", fault],
            env=environment.inherited() | variables,
            cwd=environment.ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found
