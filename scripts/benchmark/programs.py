"""The programs of the environment that the benchmark runs in."""

from __future__ import annotations

import sys
from pathlib import Path


def program(name: str) -> str:
    """The path of a console script beside the running Python."""
    return str(Path(sys.executable).parent / name)
