"""Supervisor: starts Airflow's components, says when they are ready, restarts what dies, ends everything."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from embedded import processes
from embedded.settings import Home, is_sqlite

# The log servers of scheduler and triggerer listen on every address, and here all logs are local files.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}

GRACE_SECONDS = 10.0  # Airflow's scheduler was seen to outlive TERM by 45 s
TICK_SECONDS = 0.2
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
STEADY_SECONDS = 60.0  # a component that lived that long starts its back-off anew
PATIENCE_SECONDS = 60.0
LARGEST_LOG_BYTES = 10 * 1024 * 1024


class StartFailedError(Exception):
    """The embedded Airflow cannot start; the text says why."""


@dataclass
class Component:
    """One supervised process and when it may be started again."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS


@dataclass
class Supervisor:
    """Runs the components of one home until a signal asks it to stop."""

    home: Home
    environ: Mapping[str, str]
    port: int
    ready_url: str
    components: list[Component] = field(default_factory=lambda: [Component(name) for name in COMPONENTS])
    stops: int = 0
    started: float = 0.0
    bereft_groups: set[int] = field(default_factory=set)

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Count one wish to stop; the second one ends the patience with processes that take their time."""
        self.stops += 1

    def run(self, banner: str) -> None:
        """Migrate the database, start everything, print the banner when ready, return when all has ended.

        Raises StartFailedError where the database cannot be migrated.
        """
        try:
            self._migrate()
            self._parse_once()
            self._start_all()
            self._wait_until_ready(banner)
            while not self.stops:
                self._look_after_all()
        finally:
            self._end_all()

    def _migrate(self) -> None:
        say("preparing the database")
        failed = self._run("migrate", ("db", "migrate"))
        # On SQLite the service sees to its own tables itself, without another process to wait for.
        if not failed and not is_sqlite(self.environ) and not self.stops:
            failed = self._run("migrate", ("db", "migrate"), program="airflow-rest-api")
        if failed and not self.stops:
            raise StartFailedError(f"the database could not be migrated; the reason: {self._log('migrate')}")

    def _parse_once(self) -> None:
        """Let a new home know its DAGs before anybody asks for them; later on the dag-processor sees to that."""
        if self.stops or self.home.parsed.exists():
            return
        say("reading the DAG files for the first time")
        if self._run("parse", ("dags", "reserialize")) == 0:
            self.home.parsed.touch()
        elif not self.stops:
            say(f"the DAG files could not be read yet; the reason: {self._log('parse')}")

    def _run(self, name: str, arguments: Iterable[str], program: str = "airflow") -> int | None:
        """Run a command to its end, or until a stop is wished; return its exit status."""
        process = self._spawn(name, arguments, program)
        while process.poll() is None and not self.stops:
            time.sleep(TICK_SECONDS / 4)
        return process.returncode

    def _start_all(self) -> None:
        self.started = time.monotonic()
        for component in self.components:
            if not self.stops:
                self._start(component)
                say(f"{component.name} started, log: {self._log(component.name)}")

    def _wait_until_ready(self, banner: str) -> None:
        is_told = False
        while not self.stops and (answer := self._readiness()) != "200":
            if not is_told and time.monotonic() - self.started > PATIENCE_SECONDS:
                is_told = True
                say(f"still waiting for {self.ready_url}: {answer}")
            self._look_after_all()
        if not self.stops:
            show(banner)

    def _look_after_all(self) -> None:
        for component in self.components:
            self._look_after(component)
        self._end_bereft()
        time.sleep(TICK_SECONDS)

    def _look_after(self, component: Component) -> None:
        now = time.monotonic()
        if component.process is None:
            if now >= component.restart_at:
                self._start(component)
                say(f"{component.name} started again")
        elif (status := component.process.poll()) is not None:
            if now - component.started > STEADY_SECONDS:
                component.pause = FIRST_PAUSE_SECONDS
            say(f"{component.name} ended ({_ending(status)}), log: {self._log(component.name)}")
            say(f"{component.name} is started again in {component.pause:.0f} s")
            self.bereft_groups.add(component.process.pid)
            component.process, component.restart_at = None, now + component.pause
            component.pause = min(component.pause * 2, LONGEST_PAUSE_SECONDS)

    def _end_bereft(self) -> None:
        """End idle workers whose scheduler died; those that still run a task may finish it first."""
        for group in list(self.bereft_groups):
            orphans = processes.orphans_of(group)
            for orphan in orphans:
                if not _has_children(orphan):
                    _kill(orphan)
            if not orphans:
                self.bereft_groups.discard(group)

    def _end_all(self) -> None:
        say("stopping")
        processes.end_all(processes.descendants, GRACE_SECONDS, hurry=lambda: self.stops > 1)
        left = processes.descendants()
        say(f"these processes did not end: {left}" if left else "stopped: no process is left")
        if not left:
            self.home.processes.unlink(missing_ok=True)

    def _start(self, component: Component) -> None:
        options = COMPONENTS[component.name]
        if component.name == "api-server":
            options = ("--port", str(self.port))
        component.process = self._spawn(component.name, (component.name, *options))
        component.started = time.monotonic()
        self._record(c.process.pid for c in self.components if c.process is not None)

    def _spawn(
        self, name: str, arguments: Iterable[str], program: str = "airflow"
    ) -> subprocess.Popen[bytes]:
        log = self._log(name)
        if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        command = (str(Path(sys.executable).with_name(program)), *arguments)
        return processes.spawn(command, self.environ, self.home.path, log)

    def _log(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    def _record(self, pids: Iterable[int]) -> None:
        """Note the process groups, for a later start after this one was killed."""
        marks = [asdict(processes.mark(psutil.Process(pid))) for pid in pids]
        self.home.processes.write_text(json.dumps(marks), encoding="utf-8")

    def _readiness(self) -> str:
        try:
            with urllib.request.urlopen(self.ready_url, timeout=2) as response:
                return str(response.status)
        except urllib.error.HTTPError as refusal:
            return f"{refusal.code} {refusal.read(300).decode(errors='replace')}"
        except OSError as error:
            return str(error)


def recorded(home: Home) -> list[processes.Mark]:
    """The process groups that the last start of this home noted; none after an orderly end."""
    try:
        return [processes.Mark(**known) for known in json.loads(home.processes.read_text(encoding="utf-8"))]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def say(text: str) -> None:
    """Print one line for the person in front of the terminal."""
    show(f"serve | {text}")


def show(text: str) -> None:
    """Print, unless nobody listens any more: that must not keep the supervisor from its work."""
    with suppress(OSError):
        print(text, flush=True)


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"


def _has_children(process: psutil.Process) -> bool:
    try:
        return bool(process.children())
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
