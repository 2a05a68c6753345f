"""One fork server for all tests of the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_rest_api.sandbox.box import Sandbox
from airflow_rest_api.sandbox.verdict import Verdict

# Of the sandbox for files that never end, and of the one for all others.
BRIEF_SECONDS, SECONDS = 2.5, 25.0


@pytest.fixture(scope="session")
def sandbox(home: Path) -> Iterator[Sandbox]:
    """A sandbox that hides the Airflow of the tests."""
    box = Sandbox(hidden=[home], seconds=SECONDS)
    yield box
    box.stop()


@pytest.fixture(scope="session")
def brief_sandbox() -> Iterator[Sandbox]:
    """A sandbox that has little patience."""
    box = Sandbox(seconds=BRIEF_SECONDS)
    yield box
    box.stop()


@pytest.fixture
def parsed(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Verdict]:
    """`parsed("source")` or `parsed({"a.py": "source"}, beside={"b.py": "source"})`: the verdict."""

    def parse(source, *, beside=None, replaced=None) -> Verdict:
        files = source if isinstance(source, dict) else {"dag.py": source}
        place = tmp_path / "bundle"
        folder = written(tmp_path / "sent", files)
        return sandbox.validate(
            folder,
            bundle_name="drafts",
            beside=written(place, beside) if beside else None,
            replaced=replaced,
        )

    return parse


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
