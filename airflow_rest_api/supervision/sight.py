"""Sight: how an instance is at this moment, whatever its record says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import psutil

from airflow_rest_api.supervision import families, log_files, processes, records
from airflow_rest_api.supervision.families import Family
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.orders import parts_of
from airflow_rest_api.supervision.processes import Mark, Process
from airflow_rest_api.supervision.records import ENDED, Record, State

# How long a keeper may take to write down what everybody can see.
_PATIENCE_SECONDS, _TICK_SECONDS = 1.0, 0.05


@dataclass(frozen=True)
class Supervised:
    """An instance: of those that have ended, ``pid`` is None; of one that nobody keeps, ``supervisor_pid`` is.

    ``memory_bytes`` and ``cpu_percent`` are those of all its ``processes`` together, the second since they began, of
    one processor. ``exit_code`` is that of the last process, a signal's number as a negative one, None where nobody
    knows. ``log_offset`` is where the log stood when it was last started.
    """

    component: str
    instance: str | None
    state: State
    pid: int | None
    supervisor_pid: int | None
    started_at: datetime | None
    argv: tuple[str, ...]
    restarts: int
    exit_code: int | None
    log_file: Path
    memory_bytes: int | None
    cpu_percent: float | None
    processes: int
    log_offset: int = 0


def look(folder: Folder) -> Supervised | None:
    """Return the instance of a folder, None when there is none."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while record := records.read(folder):
        state = _state(record)
        if state is not None:
            return _supervised(folder, record, state)
        if time.monotonic() > deadline:
            # A keeper that does not even say that the component has gone is held by somebody.
            return _supervised(folder, record, "stopping")
        time.sleep(_TICK_SECONDS)
    return None


def _state(record: Record) -> State | None:
    """Return how the instance is, None when its keeper is about to write that down."""
    if record.state in ENDED:
        return record.state
    if record.place != processes.place():
        return "exited"
    is_kept = families.lives(record.keeper) or families.lives(record.guardian)
    if families.lives(record.mark):
        return record.state if is_kept else "running"
    if not is_kept:
        return "exited" if record.is_asked else "failed"
    return record.state if record.mark is None else None


def _supervised(folder: Folder, record: Record, state: State) -> Supervised | None:
    parts = parts_of(folder.path.name)
    if parts is None:
        return None
    # What has ended has no keepers any more, though they may not have gone yet.
    is_here = record.place == processes.place() and record.state not in ENDED
    keepers = [mark for mark in (record.keeper, record.guardian) if is_here and families.lives(mark)]
    _bury(record.keeper, record.guardian)
    members = _members(record, keepers) if is_here else []
    memory, cpu = _used(members)
    return Supervised(
        *parts,
        state=state,
        pid=record.mark.pid if record.mark and is_here and families.lives(record.mark) else None,
        supervisor_pid=keepers[0].pid if keepers else None,
        started_at=datetime.fromisoformat(record.started_at) if record.started_at else None,
        argv=record.argv,
        restarts=record.restarts,
        exit_code=record.exit_code,
        log_file=folder.path / log_files.newest(folder),
        memory_bytes=memory,
        cpu_percent=cpu,
        processes=len(members),
        log_offset=record.log_offset,
    )


def _members(record: Record, keepers: Iterable[Mark]) -> list[Process]:
    kept = frozenset(keepers)
    table = processes.table()
    first = table.get(record.mark.pid) if record.mark is not None else None
    # Where a keeper was killed, orphans may have been adopted by nobody who is known.
    is_adopted = first is not None and first.parent in {mark.pid for mark in kept}
    return Family(record.marker, record.last, kept).members(table, thoroughly=not is_adopted)


def _used(members: Iterable[Process]) -> tuple[int | None, float | None]:
    """Return the memory and the share of a processor that these use, None when there are none."""
    memory, cpu, is_any = 0, 0.0, False
    for member in members:
        with suppress(psutil.Error):
            process = psutil.Process(member.mark.pid)
            with process.oneshot():
                times, begin = process.cpu_times(), process.create_time()
                memory += process.memory_info().rss
            lived = max(datetime.now(timezone.utc).timestamp() - begin, 0.01)
            cpu += 100 * (times.user + times.system) / lived
            is_any = True
    return (memory, round(cpu, 1)) if is_any else (None, None)


def _bury(*marks: Mark) -> None:
    """Bury keepers that have ended, where this process is the one that adopts orphans: the first of a container."""
    for mark in marks:
        process = processes.look(mark.pid)
        is_dead = process is not None and process.mark == mark and not process.is_alive
        if is_dead and process is not None and process.parent == os.getpid():
            with suppress(ChildProcessError):
                os.waitpid(mark.pid, os.WNOHANG)
