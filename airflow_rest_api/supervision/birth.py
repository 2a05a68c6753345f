"""Births: how a component comes into being, held at a gate until it is on record."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

from airflow_rest_api.supervision import processes
from airflow_rest_api.supervision.processes import Mark

_OPEN = b"+"
# What a shell answers for a program that cannot be run.
NOT_RUN = 127


class Birth:
    """A process that waits at its gate; it ends when the gate's owner does, and has never been the component then."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], output: int) -> None:
        """Fork it, into a session of its own; what it writes goes to ``output``. Raises `OSError`."""
        gate, fault = os.pipe(), os.pipe()
        self._gate, self._fault = gate[1], fault[0]
        try:
            self.pid = os.fork()
        except OSError:
            _close(*gate, *fault)
            raise
        if self.pid == 0:
            _close(self._gate)
            _live(gate[0], fault[1], output, argv, environment)
        _close(gate[0], fault[1])
        process = processes.look(self.pid)
        assert process is not None, "a child is there until it is buried"
        self.mark: Mark = process.mark

    def open_gate(self) -> int:
        """Let it become the component; return 0, or the number of the fault for which it could not."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gate, _OPEN)
        said = os.read(self._fault, 16)
        _close(self._gate, self._fault)
        return int(said or b"0")

    def give_up(self) -> None:
        """Let it end, as if it had never been."""
        _close(self._gate, self._fault)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _live(
    gate: int, fault: int, output: int, argv: Sequence[str], environment: Mapping[str, str]
) -> NoReturn:
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, standard)
        _forget_signals()
        if os.read(gate, 1) == _OPEN:
            # Everything else that is open here is closed with this.
            os.execve(argv[0], list(argv), dict(environment))  # noqa: S606
    except OSError as reason:
        os.write(fault, str(reason.errno).encode())
    finally:
        os._exit(NOT_RUN)


def _forget_signals() -> None:
    """Have all signals do what they do to a new process: what is ignored or blocked would stay so."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
