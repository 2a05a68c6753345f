"""The warden of a trial: starts the child, bounds it, and ends with all that the child has started.

Its order is a line of JSON on the standard input, which stays open as long as the trial is wanted. When it closes,
because the trial is cancelled or the service was killed, everything is ended. What it says are lines of JSON:

- ``secrets``: what the child has come to know as secret, always said before any output that may hold it;
- ``output`` and ``bytes``: the end of what the task has written so far, and how much that is in all;
- ``reason``, ``code``, ``verdict`` and ``said``, at the end: why the child ended (`done`, `timeout`, `memory`,
  `output`, `unwanted`), its exit code, what it found, and what it said beside that.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_rest_api.sandbox.child import kernel, processes

MEMORY_BYTES = 4 << 30
MOST_OUTPUT, KEPT_OUTPUT = 64 << 20, 64 << 10
# A machine may be slow to import Airflow; the time of the trial counts from when the child is ready.
START_SECONDS = 120.0
# After SIGTERM, on which a task may end what it has begun elsewhere (`on_kill`).
GRACE_SECONDS = 3.0
# A secret that is longer than a message can be is masked by its beginning.
MOST_MESSAGE = 128 << 10
_TICK_SECONDS, _LOOK_SECONDS = 0.1, 0.3
_MOST_VERDICT, _MOST_SAID = 4 << 20, 8_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CHILD = "airflow_rest_api.trial.child"


@dataclass
class _Channels:
    """What the child writes to: what came of it, what it holds secret, what the task writes, what else it says."""

    verdict: tuple[int, int] = field(default_factory=os.pipe)
    output: tuple[int, int] = field(default_factory=os.pipe)
    said: tuple[int, int] = field(default_factory=os.pipe)
    # Messages keep their bounds when two processes send them.
    secrets: tuple[socket.socket, socket.socket] = field(
        default_factory=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    )

    def theirs(self) -> tuple[int, int, int]:
        """Return the descriptors that the child inherits, beside its standard ones."""
        return self.verdict[1], self.output[1], self.secrets[1].fileno()

    def close_theirs(self) -> None:
        """Leave their ends to the child, so that its end can be seen."""
        for descriptor in (self.verdict[1], self.output[1], self.said[1]):
            os.close(descriptor)
        self.secrets[1].close()


@dataclass
class _Heard:
    """What has come from the child so far."""

    channels: _Channels
    verdict: bytearray = field(default_factory=bytearray)
    output: bytearray = field(default_factory=bytearray)
    said: bytearray = field(default_factory=bytearray)
    secrets: list[str] = field(default_factory=list)
    total: int = 0
    is_new: bool = False

    def __post_init__(self) -> None:
        ours = self.channels
        self._open = {
            ours.verdict[0]: self._take_verdict,
            ours.output[0]: self._take_output,
            ours.said[0]: self._take_said,
        }

    @property
    def is_ready(self) -> bool:
        """Whether the child has imported what it needs, and goes on to the code of the DAG."""
        return bool(self.verdict)

    def listen(self, seconds: float) -> None:
        """Wait for something to come, and take it."""
        known = [*self._open, self.channels.secrets[0].fileno()]
        ready = select.select(known, [], [], seconds)[0]
        for descriptor in self._open.keys() & set(ready):
            self._take(descriptor)
        # What was said of secrets was said before what was written; so it is heard of last, and told first.
        self._take_secrets()

    def _take(self, descriptor: int) -> None:
        data = os.read(descriptor, 65_536)
        if data:
            self._open[descriptor](data)
        else:
            del self._open[descriptor]

    def _take_verdict(self, data: bytes) -> None:
        self.verdict += data[: _MOST_VERDICT - len(self.verdict)]

    def _take_output(self, data: bytes) -> None:
        self.total += len(data)
        self.output += data
        del self.output[:-KEPT_OUTPUT]
        self.is_new = True

    def _take_said(self, data: bytes) -> None:
        self.said += data
        del self.said[:-_MOST_SAID]

    def _take_secrets(self) -> None:
        with suppress(BlockingIOError):
            while data := self.channels.secrets[0].recv(2 * MOST_MESSAGE, socket.MSG_DONTWAIT):
                self.secrets.append(data.decode("utf-8", "replace"))

    def tell(self) -> None:
        """Say what is new."""
        if self.secrets:
            _say(secrets=self.secrets)
            self.secrets = []
        if self.is_new:
            _say(output=self.output.decode("utf-8", "replace"), bytes=self.total)
            self.is_new = False

    def drain(self) -> None:
        """Take what is left when the child has ended."""
        deadline = time.monotonic() + 1
        while self._open and time.monotonic() < deadline:
            self.listen(0.05)


def main() -> None:
    """Carry out one order."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    order = json.loads(sys.stdin.buffer.readline())
    channels = _Channels()
    child = _started(order, channels)
    heard = _Heard(channels)
    try:
        reason = _watched(child, heard, order["seconds"])
        if reason != "done":
            _terminate(child, heard)
    finally:
        processes.kill_family(os.getpid())
    heard.drain()
    heard.tell()
    _say(
        reason=reason,
        code=child.poll(),
        verdict=_last_line(heard.verdict),
        said=heard.said.decode("utf-8", "replace"),
    )


def _started(order: dict[str, Any], channels: _Channels) -> subprocess.Popen[bytes]:
    theirs = channels.theirs()
    child = subprocess.Popen(
        [sys.executable, "-m", _CHILD, *map(str, theirs)],
        stdin=subprocess.PIPE,
        stdout=channels.said[1],
        stderr=channels.said[1],
        pass_fds=theirs,
        start_new_session=True,
    )
    channels.close_theirs()
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin as order_pipe:
        order_pipe.write(json.dumps(order).encode())
    return child


def _watched(child: subprocess.Popen[bytes], heard: _Heard, seconds: float) -> str:
    """Wait for the end of the child, or for a reason to end it."""
    deadline, look = time.monotonic() + START_SECONDS, 0.0
    was_ready = False
    while child.poll() is None:
        heard.listen(_TICK_SECONDS)
        now = time.monotonic()
        if heard.is_ready and not was_ready:
            was_ready, deadline = True, now + seconds
        if now < look:
            continue
        look = now + _LOOK_SECONDS
        heard.tell()
        reason = _met(heard, is_late=now > deadline)
        if reason is not None:
            return reason
    return "done"


def _met(heard: _Heard, *, is_late: bool) -> str | None:
    """Return the bound that was met, if any was."""
    if is_late:
        return "timeout"
    if heard.total > MOST_OUTPUT:
        return "output"
    if not _is_wanted():
        return "unwanted"
    return "memory" if _memory() > MEMORY_BYTES else None


def _terminate(child: subprocess.Popen[bytes], heard: _Heard) -> None:
    """Let the task end what it has begun elsewhere; whoever does not care is killed afterwards."""
    child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        heard.listen(_TICK_SECONDS)


def _is_wanted() -> bool:
    """Tell whether the service still holds the other end of the standard input."""
    return not select.select([0], [], [], 0)[0]


def _memory() -> int:
    """Return how many bytes the family has in memory; what a fork shares is counted twice, which only errs upwards."""
    found = 0
    for pid in processes.family(os.getpid()):
        with suppress(OSError, IndexError, ValueError):
            found += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    return found


def _last_line(written: bytearray) -> Any:
    """Return what the child found: the line after the one that said it was ready."""
    _ready, *found = bytes(written).splitlines() or [b""]
    with suppress(ValueError, IndexError):
        return json.loads(found[-1])
    return None


def _say(**what: Any) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(json.dumps(what).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
