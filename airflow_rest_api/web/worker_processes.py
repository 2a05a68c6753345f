"""Worker processes: several processes that serve one socket, supervised by their parent.

uvicorn's own supervisor (0.54) waits for one worker at a time without a look at signals, kills without a word, starts
a worker that cannot start again and again, and keeps the socket open until the last worker has ended.
"""

from __future__ import annotations

import logging
import signal
import time
from socket import socket

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

log = logging.getLogger("uvicorn.error")

# After so many starts in a row that failed the next one would fail, too.
MOST_FAILED_STARTS = 3
# How long a worker that has not started may take to stop.
STOP_SECONDS = 5


class Supervisor(Multiprocess):
    """Starts the workers, replaces those that end or hang, and stops all of them.

    ``has_failed`` is true when it gave up, because workers failed to start.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket], start_seconds: float) -> None:
        """Take how long a worker may take to start, and afterwards not respond."""
        super().__init__(config, sockets)
        self.has_failed = False
        self._seconds = start_seconds
        self._health: dict[Process, _Health] = {}
        self._failed_starts = 0

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that ended or do not respond. Called twice a second."""
        self._health = {process: self._health_of(process) for process in self.processes}
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            health = self._health[process]
            defect = health.defect()
            if defect is not None:
                self._end(process, defect, is_start=not health.is_ready)
                self._replace(index)
            elif health.is_ready:
                self._failed_starts = 0

    def _health_of(self, process: Process) -> _Health:
        return self._health.get(process) or _Health(process, self._seconds)

    def _end(self, process: Process, defect: str, *, is_start: bool) -> None:
        process.kill()
        process.join()
        log.error("Worker process [%s] %s.", process.pid, defect)
        self._failed_starts += is_start
        if self._failed_starts >= MOST_FAILED_STARTS or process.exitcode == STARTUP_FAILURE:
            log.error("The workers cannot start; stopping. The lines above have the reason.")
            self.has_failed = True
            self.should_exit.set()

    def _replace(self, index: int) -> None:
        if not self.should_exit.is_set():
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()

    def terminate_all(self) -> None:
        """Stop all workers. The socket closes first: nothing would accept new connections."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for the workers to end, but not for those that never started: they do not look at signals yet."""
        for process in self.processes:
            process.process.join(None if self._health_of(process).is_ready else STOP_SECONDS)
            process.process.kill()
            process.process.join()


class _Health:
    """What is known about a worker: whether it serves, and when it last responded."""

    def __init__(self, process: Process, seconds: float) -> None:
        self.is_ready = False
        self._process = process
        self._seconds = seconds
        self._since = time.monotonic()
        self._is_asked = False

    def defect(self) -> str | None:
        """Return what is wrong with the worker, None if nothing is."""
        if not self._process.process.is_alive():
            return f"{_ending(self._process.exitcode)}{'' if self.is_ready else ' before it had started'}"
        self._ask()
        if time.monotonic() - self._since <= self._seconds:
            return None
        if self.is_ready:
            return f"did not respond for {self._seconds:g} seconds and was killed"
        return (
            f"did not start within {self._seconds:g} seconds and was killed; a slow or busy machine needs a higher"
            " --worker-start-timeout"
        )

    def _ask(self) -> None:
        """Read the response to the last question, if it has come, and ask again; never wait."""
        connection = self._process.parent_conn
        try:
            if self._is_asked and connection.poll():
                self._is_asked = False
                self.is_ready = connection.recv() or self.is_ready
                # A worker that responds before it serves has not started yet.
                self._since = time.monotonic() if self.is_ready else self._since
            if not self._is_asked:
                connection.send(b"ping")
                self._is_asked = True
        except (OSError, EOFError):
            return  # it is about to end


def _ending(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was ended by {signal.Signals(-exitcode).name}"
    return f"ended with status {exitcode}"
