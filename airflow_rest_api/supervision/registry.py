"""The registry: starts components, asks them to stop, and tells how they are at this moment."""

from __future__ import annotations

import json
import math
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_rest_api.supervision import channels, families, folders, log_files, processes, records
from airflow_rest_api.supervision.log_files import LogPart
from airflow_rest_api.supervision.orders import KEEPS, MARKER, Order, name_of, parts_of
from airflow_rest_api.supervision.records import ENDED, State
from airflow_rest_api.supervision.sight import Supervised, look

__all__ = [
    "ENDED",
    "AlreadyRunning",
    "LogPart",
    "NotStarted",
    "Order",
    "Registry",
    "State",
    "Supervised",
    "Unknown",
]

MOST_LOG_BYTES = 1 << 20
# Of those that have ended, the oldest are forgotten beyond so many.
MOST_INSTANCES = 100
_PROGRAM = "airflow_rest_api.supervision"
_ANSWER_SECONDS = 30.0
_TICK_SECONDS = 0.05


class AlreadyRunning(Exception):
    """The instance has been started, and has not ended."""


class NotStarted(Exception):
    """No process could be made; the text says why, in the system's words."""


class Unknown(LookupError):
    """No such instance has ever been started here."""


def why_not() -> str | None:
    """Return why no component can be supervised on this machine, None where one can."""
    if not hasattr(os, "pidfd_open") or processes.place() is None:
        return "Components are supervised on Linux alone, where `/proc` can be read."
    return None


class Registry:
    """The instances of this host that have been started from a folder, whichever service did it."""

    def __init__(self, folder: Path) -> None:
        # Where hosts share the folder, process numbers and locks of another one would mean nothing here.
        self._folder = folder / re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())

    def start(self, order: Order) -> Supervised:
        """Start an instance; returns as soon as its process exists.

        Raises `AlreadyRunning`, `NotStarted`.
        """
        path = self._folder / order.name
        self._make(path)
        known = self.find(order.component, order.instance)
        if known is not None and known.state not in ENDED:
            raise AlreadyRunning(order.name)
        marker = uuid4().hex
        answer = _launched(path, {"order": order.as_json(), "marker": marker}, waits=True)
        if "refused" in answer:
            raise AlreadyRunning(order.name)
        if "fault" in answer:
            raise NotStarted(answer["fault"])
        return self._begun(path, marker)

    def stop(self, component: str, instance: str | None, *, grace_seconds: float | None = None) -> Supervised:
        """Ask an instance to end, with the grace that it was started with unless told; returns at once.

        Who is asked again ends no later than before. One that ends is found `stopping`, and at last `exited`; should
        it be found otherwise, those that were to end it have been killed, and it has to be asked again.
        Raises `Unknown`, and `NotStarted` where it has lost its keepers and can be given none.
        """
        if grace_seconds is not None and not 0 <= grace_seconds < math.inf:
            raise ValueError("A grace is a number of seconds.")
        path = self._folder / name_of(component, instance)
        with folders.entered(path) as folder:
            record = records.read(folder) if folder is not None else None
            known = look(folder) if folder is not None else None
            if folder is None or record is None or known is None:
                raise Unknown(path.name)
            if known.state in ENDED and not known.processes:
                return known
            is_kept = families.lives(record.keeper) or families.lives(record.guardian)
            if not (is_kept and channels.ask_to_stop(folder, record.marker, grace_seconds)):
                told = {"marker": record.marker, "ends": True, "grace_seconds": grace_seconds}
                _launched(path, told, waits=False)
            return look(folder) or known

    def all(self) -> list[Supervised]:
        """Return all instances that have been started here, those that have ended too, by their names."""
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError:
            return []
        found = [self.find(*parts) for parts in map(parts_of, names) if parts is not None]
        return [one for one in found if one is not None]

    def find(self, component: str, instance: str | None = None) -> Supervised | None:
        """Return an instance as it is at this moment, None when it has never been started here.

        One that runs and has lost those that kept it is given another keeper, for the next time.
        """
        path = self._folder / name_of(component, instance)
        with folders.entered(path) as folder:
            known = look(folder) if folder is not None else None
            record = records.read(folder) if folder is not None else None
        if known is not None and record is not None and known.pid and not known.supervisor_pid:
            with suppress(NotStarted):
                _launched(path, {"marker": record.marker, "ends": False, "grace_seconds": None}, waits=False)
        return known

    def read_log(
        self,
        component: str,
        instance: str | None = None,
        *,
        tail_lines: int | None = None,
        offset: int = 0,
        most_bytes: int = MOST_LOG_BYTES,
    ) -> LogPart:
        """Return the last lines of an instance's log, or what it has from an ``offset`` on; raises `Unknown`.

        Offsets count from the first byte that the instance ever wrote. At most ``most_bytes`` are returned.
        """
        with folders.entered(self._folder / name_of(component, instance)) as folder:
            if folder is None:
                raise Unknown(name_of(component, instance))
            if tail_lines is not None:
                return log_files.tail(folder, tail_lines, most_bytes)
            return log_files.read(folder, offset, most_bytes)

    def _make(self, path: Path) -> None:
        try:
            for folder in (self._folder.parent, self._folder):
                folders.make(folder)
            if not path.exists():
                self._make_room()
            folders.make(path)
        except OSError as fault:
            raise NotStarted(str(fault.strerror or fault)) from fault

    def _make_room(self) -> None:
        """Forget some that have ended, where there are too many."""
        known = sorted(self._folder.iterdir(), key=lambda path: path.lstat().st_mtime)
        excess = len(known) + 1 - MOST_INSTANCES
        for path in known if excess > 0 else ():
            excess -= _forgotten(path)
            if excess == 0:
                return

    def _begun(self, path: Path, marker: str) -> Supervised:
        """Return what has been started, which another keeper may have done than the one that was asked."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            with folders.entered(path) as folder:
                # Looked at before: what those have left who are gone is all that there will be.
                is_kept = folder is not None and _is_locked(folder)
                record = records.read(folder) if folder is not None else None
                known = look(folder) if folder is not None else None
                is_it = record is not None and record.marker == marker
                if is_it and known is not None and known.state != "starting":
                    return known
                if not is_kept:
                    break
            time.sleep(_TICK_SECONDS)
        raise NotStarted("its keeper has not answered")


def _is_locked(folder: folders.Folder) -> bool:
    """Tell whether a guardian or a keeper lives; who is about to become one waits for as long as this looks."""
    lock = channels.locked(folder, seconds=0)
    if lock is not None:
        os.close(lock)
    return lock is None


def _forgotten(path: Path) -> bool:
    """Remove an instance's folder, unless somebody is about to use it; tell whether that was done."""
    with folders.entered(path) as folder:
        lock = channels.locked(folder, seconds=0) if folder is not None else None
        if folder is None or lock is None:
            return False
        record = records.read(folder)
        has_ended = record is None or record.state in ENDED
        if has_ended:
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
        return has_ended


def _launched(path: Path, told: dict[str, Any], *, waits: bool) -> dict[str, Any]:
    """Have a guardian begin, and return its answer, empty where there is none; raises `NotStarted`."""
    inherited = {name: value for name, value in os.environ.items() if name != MARKER}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=path,
            env={**inherited, KEEPS: path.name},
            start_new_session=True,
        )
    except OSError as fault:
        raise NotStarted(str(fault.strerror)) from fault
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout:
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(told).encode())
        if process.wait():
            raise NotStarted("its keeper could not be started")
        if waits and select.select([process.stdout], [], [], _ANSWER_SECONDS)[0]:
            line = process.stdout.readline()
            return dict(json.loads(line)) if line else {}
    return {}
