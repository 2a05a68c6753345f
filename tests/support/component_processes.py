"""Components that are cheap: a fake interpreter, which writes down with what it was called, and rests."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

from airflow_rest_api.services import configuration
from airflow_rest_api.services.components import places, recipe

# With `FAKE_EXIT` it says why, and ends; with `FAKE_DEAF` it does not hear SIGTERM. `exec` keeps the process's number.
# Its arguments come last and at once: whoever sees them sees all.
_PROGRAM = """\
#!/bin/sh
env -0 > "$FAKE_CALLS/$$.environment"
printf '%s\\0' "$@" > "$FAKE_CALLS/$$.written"
mv "$FAKE_CALLS/$$.written" "$FAKE_CALLS/$$.args"
echo "called with $*"
echo "$FAKE_SAYS"
[ -z "$FAKE_EXIT" ] || exit "$FAKE_EXIT"
[ -z "$FAKE_DEAF" ] || trap '' TERM
exec sleep 600
"""


class Calls:
    """What the fake was called with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def arguments(self) -> list[list[str]]:
        """The arguments of all calls, in no order."""
        return [_parts(path) for path in self._folder.glob("*.args")]

    def settled(self, number: int, seconds: float = 10) -> list[list[str]]:
        """The arguments of all calls, when there are so many, or the time is up."""
        deadline = time.monotonic() + seconds
        while len(found := self.arguments()) < number and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def environment(self) -> dict[str, str]:
        """The environment of the one call that there was."""
        (path,) = self._folder.glob("*.environment")
        return dict(entry.split("=", 1) for entry in _parts(path))


@contextmanager
def fake(folder: Path, **environment: str) -> Iterator[Calls]:
    """Let components be started with the fake; in the end all that was started is stopped, and forgotten."""
    calls = folder / "calls"
    calls.mkdir(parents=True)
    program = folder / "fake"
    program.write_text(_PROGRAM)
    program.chmod(stat.S_IRWXU)
    variables = {"FAKE_CALLS": str(calls), **environment}
    with mock.patch.object(recipe, "INTERPRETER", str(program)), mock.patch.dict(os.environ, variables):
        try:
            yield Calls(calls)
        finally:
            stop_all()
            shutil.rmtree(configuration.state_folder() / "components", ignore_errors=True)


def stop_all(seconds: float = 30) -> None:
    """Stop all components that run in this process's home, and wait until they have ended."""
    registry = places.registry()
    for one in registry.all():
        registry.stop(one.component, one.instance, grace_seconds=0)
    deadline = time.monotonic() + seconds
    while [one for one in registry.all() if one.processes]:
        assert time.monotonic() < deadline, registry.all()
        time.sleep(0.05)


def add_job(
    job_type: str, *, started: datetime | None = None, beaten: bool = True, hostname: str | None = None
) -> int:
    """Insert a job as Airflow's processes keep them, one that lives, and return its id."""
    from airflow.jobs.job import Job, JobState

    from airflow_rest_api.services.database import write

    now = datetime.now(timezone.utc)
    job = Job(job_type=job_type, state=JobState.RUNNING)
    job.hostname = hostname or job.hostname
    job.start_date = started or now
    job.latest_heartbeat = now + timedelta(seconds=0.1 if beaten else -0.1)

    def work(session) -> int:
        session.add(job)
        session.flush()
        return int(job.id)

    return write(work)


def beat(job_id: int) -> None:
    """Let a job send a heartbeat."""
    from airflow.jobs.job import Job
    from sqlalchemy import update

    from airflow_rest_api.services.database import write

    now = datetime.now(timezone.utc)
    write(lambda session: session.execute(update(Job).where(Job.id == job_id).values(latest_heartbeat=now)))


def _parts(path: Path) -> list[str]:
    return path.read_text().split("\0")[:-1]
