"""Attempts: the service's side of a trial, from the order to the end of the last process."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_rest_api.trial import warden

Json = dict[str, Any]

# By which every process of a trial is known, whoever its parent is by now.
MARK = "AIRFLOW_REST_API_TRIAL"
# How often whoever waits may change its mind.
_HEED_SECONDS = 0.5
# What the warden needs at the most to end the family, beyond the grace that it gives.
_END_SECONDS = 15.0
_ENDING = threading.Event()
# The trials of this process that go on, by their marks.
_GOING: set[str] = set()


class Interrupted(Exception):
    """This process ends, and the trial with it."""


@dataclass
class Progress:
    """What is known of a trial while it goes on: the end of its output, how much it was, and what must not be told."""

    output: str = ""
    bytes: int = 0
    secrets: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Ending:
    """How a trial ended: ``reason`` is `done`, `timeout`, `memory`, `output` or `lost`.

    ``verdict`` is what the child found, None when it did not come to that; ``code`` is its exit code. What it ``said``
    beside that may hold anything, and is for nobody but this service's own log.
    """

    reason: str
    code: int | None = None
    verdict: Json | None = None
    said: str = ""


def carry_out(order: Mapping[str, Any], *, seconds: float, heed: Callable[[Progress], None]) -> Ending:
    """Carry out an order in a child process; when this returns or raises, nothing is left of it.

    ``heed`` is called twice a second with what is known so far; what it raises ends the trial. Raises `Interrupted`.
    """
    progress, last = Progress(), Ending("lost")
    with _warden({**order, "seconds": seconds}) as process:
        deadline = time.monotonic() + warden.START_SECONDS + seconds + _END_SECONDS
        for line in _lines(process, deadline):
            if _ENDING.is_set():
                raise Interrupted
            if line is not None:
                progress.secrets |= set(line.get("secrets", ()))
                progress.output, progress.bytes = (
                    line.get("output", progress.output),
                    line.get("bytes", progress.bytes),
                )
            if line is not None and "reason" in line:
                last = Ending(**line)
            else:
                heed(progress)
    heed(progress)
    return last


@contextmanager
def _warden(order: Mapping[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    mark = uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", warden.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, MARK: mark},
        start_new_session=True,
    )
    _GOING.add(mark)
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        yield process
    finally:
        _end(process, mark)
        _GOING.discard(mark)


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Let the warden end everything; where it cannot, do it without it."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    # The warden may have more to say than a pipe holds.
    process.stdout.close()
    try:
        code = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code != 0:
        kill_marked(mark)


def kill_marked(mark: str) -> None:
    """Kill the processes that have this mark in their environment, until there are none."""
    deadline = time.monotonic() + _END_SECONDS
    while (found := list(marked(mark))) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def marked(mark: str) -> Iterator[int]:
    """Yield the processes that were started with this mark in their environment, as far as they can be looked into."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def _lines(process: subprocess.Popen[bytes], deadline: float) -> Iterator[Json | None]:
    """Yield what the warden says, and None when it has nothing to say for a while."""
    assert process.stdout is not None
    descriptor, waiting = process.stdout.fileno(), bytearray()
    while time.monotonic() < deadline:
        if not select.select([descriptor], [], [], _HEED_SECONDS)[0]:
            yield None
            continue
        data = os.read(descriptor, 1 << 20)
        if not data:
            return
        *whole, rest = (waiting + data).split(b"\n")
        waiting = bytearray(rest)
        yield from (json.loads(line) for line in whole)


def stop_all() -> None:
    """End the trials of this process, and wait for a moment until they have been."""
    _ENDING.set()
    deadline = time.monotonic() + _END_SECONDS
    while _GOING and time.monotonic() < deadline:
        time.sleep(0.05)


# Threads that wait for trials are daemons, which nobody else waits for.
atexit.register(stop_all)
