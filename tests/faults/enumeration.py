"""Enumeration: a failed login tells neither in words nor in time whether there is such a user."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import environment, postgres, template
from tests.support.under_manager import MANAGERS

TOLERATED = 0.05
# Of so many ways to part the logins of one name into two halves, the medians of 95 % differ by less.
SPLITS = 400
QUANTILE = 0.95


def run(full: bool) -> dict[str, object]:
    """Compare 200 pairs (quick: 40) of failed logins, known and unknown in turn, for both auth managers."""
    pairs = 200 if full else 40
    figures: dict[str, object] = {"pairs": pairs}
    for manager in MANAGERS:
        figures |= {f"{manager}: {name}": value for name, value in verdict(measured(manager, pairs)).items()}
    return figures


def verdict(found: dict[str, Any]) -> dict[str, object]:
    """Judge what was measured."""
    known, unknown = (statistics.median(found[kind]) for kind in ("known", "unknown"))
    difference, spread = relative(known, unknown), spread_of(found["known"])
    of_known, of_unknown = found["answers"]
    assert of_known == of_unknown, f"told apart in words: {of_known} and {of_unknown}"
    assert len(set(found["hashes"])) == 1, f"passwords hashed, known and unknown: {found['hashes']}"
    assert difference <= max(TOLERATED, spread), (
        f"told apart in time: the medians differ by {difference:.1%}, same against same by {spread:.1%}"
    )
    return {
        "median of a known name": f"{known * 1000:.2f} ms",
        "median of an unknown name": f"{unknown * 1000:.2f} ms",
        "difference": f"{difference:.2%}",
        "same against same": f"{spread:.2%}",
        "password hashes": found["hashes"],
    }


def relative(first: float, second: float) -> float:
    return abs(first - second) / max(first, second)


def spread_of(samples: list[float]) -> float:
    """How far the medians of two halves of the same are apart, by chance alone."""
    chance, half = random.Random(len(samples)), len(samples) // 2
    differences = []
    for _ in range(SPLITS):
        mixed = chance.sample(samples, len(samples))
        differences.append(relative(statistics.median(mixed[:half]), statistics.median(mixed[half:])))
    return sorted(differences)[int(QUANTILE * SPLITS)]


def measured(manager: str, pairs: int, *, broken: bool = False) -> dict[str, Any]:
    """Log in with each auth manager in a process and a home of its own: a process cannot change its manager."""
    with tempfile.TemporaryDirectory(prefix="airflow-logins-") as folder:
        home = Path(folder)
        variables = _environment(home) | {
            "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[manager],
            "AIRFLOW__FAB__UPDATE_FAB_PERMS": "True",
            "PYTHONPATH": f"{environment.ROOT}:{environment.ROOT / 'scripts'}",
        }
        command = [sys.executable, "-W", "ignore", "-m", "tests.security.login_times", str(pairs)]
        result = subprocess.run(
            [*command, *(["broken"] if broken else [])],
            env=environment.inherited() | variables,
            cwd=environment.ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    if result.returncode != 0:
        raise RuntimeError(result.stdout[-2000:] + result.stderr[-4000:])
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def _environment(home: Path) -> dict[str, str]:
    """A home with SQLite, or on the PostgreSQL database that this process stands on."""
    url = os.environ.get(postgres.CONNECTION, "")
    if url.startswith("postgresql"):
        return environment.prepare(home, url)
    variables = environment.prepare(home)
    template.copy_to(home)
    return variables
