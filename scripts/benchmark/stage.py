"""Everything that the servers need before they start: a folder, PostgreSQL, the settings and the data."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark import dataset, environment, machine
from benchmark.database import postgres_cluster


@dataclass(frozen=True)
class Stage:
    """A filled database that runs, the home and environment of its servers, and what to ask them."""

    home: Path
    url: str
    settings: Mapping[str, str]
    cores: machine.Cores
    targets: dataset.Targets


@contextmanager
def set_up(kept: Path | None, size: dataset.Size) -> Iterator[Stage]:
    """Run PostgreSQL with the data set, made when missing, in the folder `kept` or in a temporary one.

    Raises NoPostgres, OtherDataset or AirflowFailed.
    """
    cores = machine.share_out()
    with _folder(kept) as folder, postgres_cluster(folder / "cluster", cores=cores.database) as url:
        home = folder / "home"
        settings = environment.prepare(home, url)
        started = time.monotonic()
        if dataset.make(home, settings, url, size):
            tell(f"data made in {time.monotonic() - started:.0f} s")
        tell(f"{size.dags} DAGs, {size.runs} runs, {size.task_instances} task instances; {cores}")
        yield Stage(home, url, settings, cores, dataset.targets(url))


def tell(line: str) -> None:
    """Say how far things are, apart from the results."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        # As root, PostgreSQL runs as another user, who has to pass through.
        Path(name).chmod(0o711)
        yield Path(name)
