"""A service that starts and stops a component: `python -m tests.support.component_service FOLDER`.

It carries out a word for each line of its standard input, and says what came of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from airflow_rest_api.supervision.registry import AlreadyRunning, NotStarted, Registry, Unknown
from tests.support import components, environment

NAME = "scheduler"
# Its own command line shall not look like the component's.
_CODE = "CODE_OF_THE_COMPONENT"


class Service:
    """The other side of it, which can be killed."""

    def __init__(self, folder: Path, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__, str(folder)],
            cwd=environment.ROOT,
            env={**os.environ, _CODE: code},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, word: str) -> None:
        """Have it begin with something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """What came of it, empty when it has been killed."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """`kill -9`, and bury it."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    code = os.environ[_CODE]
    registry = Registry(Path(sys.argv[1]))
    for line in sys.stdin:
        sys.stdout.write(f"{_done(registry, line.strip(), code)}\n")
        sys.stdout.flush()


def _done(registry: Registry, word: str, code: str) -> str:
    try:
        if word == "stop":
            return registry.stop(NAME, None).state
        return registry.start(components.order(code, restart=word == "start again and again")).state
    except (AlreadyRunning, NotStarted, Unknown) as refusal:
        return type(refusal).__name__


if __name__ == "__main__":
    main()
