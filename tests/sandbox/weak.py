"""A machine that offers neither namespaces nor Landlock, as the child processes of a test find it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sandbox.conftest import written

_SITE = """
from airflow_rest_api.sandbox.child import confinement, surroundings
confinement.is_possible = surroundings.is_possible = lambda folder: False
"""


@contextmanager
def machine(folder: Path) -> Iterator[None]:
    """Let processes that are started meanwhile find the sandbox to be weak; ``folder`` is an empty one."""
    packages = folder / "site-packages"
    written(packages, {"sitecustomize.py": _SITE})
    sys.path.insert(0, str(packages))
    try:
        yield
    finally:
        sys.path.remove(str(packages))
