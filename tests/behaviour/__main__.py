"""`python -m tests.behaviour record FILE` and `replay FILE`: keep what the service does, and compare it later."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import environment, template

# The features that are off by default, but for components: those would start processes of Airflow.
FEATURES = {
    "AIRFLOW__REST_API__DEPLOY_ENABLED": "True",
    "AIRFLOW__REST_API__REVEAL_ENABLED": "True",
    "AIRFLOW__REST_API__TEST_ENABLED": "True",
}


@contextmanager
def player() -> Iterator[Any]:
    """Give a player in a home of its own; Airflow is imported only when its settings are in the environment."""
    with tempfile.TemporaryDirectory(prefix="behaviour-") as folder:
        home = Path(folder).resolve()
        environment.enter(environment.prepare(home) | FEATURES | environment.own_dags(home))
        template.copy_to(home)
        from tests.behaviour.play import Player

        yield Player(home)


def record(path: Path, generated: int) -> int:
    """Write a record of this checkout."""
    with player() as playing:
        from tests.behaviour import collection, recorded

        recorded.write(path, playing.play(collection.all_requests(generated)))
        sys.stdout.write(f"{sum(1 for _ in path.open())} requests recorded in {path}\n")
    return 0


def replay(path: Path) -> int:
    """Send the requests of a record again; print the differences, and return 1 if there are any."""
    with player() as playing:
        from tests.behaviour import recorded
        from tests.behaviour.differences import between

        before = list(recorded.read(path))
        after = playing.play(entry.request for entry in before)
        found = [text for pair in zip(before, after, strict=True) for text in between(*pair)]
    sys.stdout.write("".join(f"{text}\n" for text in found))
    sys.stdout.write(f"{len(before)} requests replayed, {len(found)} differences\n")
    return int(bool(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="write what this checkout does into FILE")
    recording.add_argument("file", type=Path)
    recording.add_argument("--generated", type=int, default=500, help="the number of generated requests")
    replaying = commands.add_parser("replay", help="compare this checkout with FILE")
    replaying.add_argument("file", type=Path)
    options = parser.parse_args()
    if options.command == "record":
        return record(options.file, options.generated)
    return replay(options.file)


if __name__ == "__main__":
    sys.exit(main())
