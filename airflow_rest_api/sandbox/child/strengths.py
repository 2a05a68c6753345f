"""Strengths: how well this machine separates a process from the service, found out by trying it."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_rest_api.sandbox.child import confinement, surroundings
from airflow_rest_api.sandbox.strength import Strength


def found(folder: Path) -> Strength:
    """Return the strength; ``folder`` is an empty one."""
    for name in ("full", "partial"):
        (folder / name).mkdir()
    if surroundings.is_possible(folder / "full"):
        return "full"
    return "partial" if confinement.is_possible(folder / "partial") else "weak"


def main() -> None:
    """Write the strength; the argument is an empty folder."""
    sys.stdout.write(found(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
