"""Child processes: started in a session of their own, pinned to a core, and ended by their process id."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Account:
    """The user of the operating system that a child runs as."""

    uid: int
    gid: int


class ProcessEnded(RuntimeError):
    """A child ended before it was ready, or did not become ready in time."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cores: frozenset[int] = frozenset(),
    last_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child whose output goes to `log`; it gets `last_signal` if this process dies first."""
    with log.open("ab") as output:
        return _popen(command, output, env, account, _preparation(cores, last_signal))


def stop(child: subprocess.Popen[bytes], first: int = signal.SIGTERM, *, grace: float = 10) -> None:
    """End a child with the signal `first`, and its whole group with KILL when it outlives `grace` seconds."""
    if child.poll() is not None:
        return
    os.kill(child.pid, first)
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log file, for the message about a child that failed."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _popen(
    command: Sequence[str],
    output: IO[bytes],
    env: Mapping[str, str] | None,
    account: Account | None,
    preparation: Callable[[], None],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # Ctrl-C in the terminal reaches this process alone, which ends its children in the right order.
        start_new_session=True,
        preexec_fn=preparation,  # noqa: PLW1509 - what it calls takes no lock, so other threads do no harm
    )


def _preparation(cores: frozenset[int], last_signal: int) -> Callable[[], None]:
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, last_signal)
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare
