"""A cell: one parse, or one test of a connection, from its first process to the last one's end.

Three processes, each the child of the one before it:

- the warden, outside and with the rights of the server: it keeps time, counts memory and output, ends the cell;
- the first process inside, to which whatever the caller's code leaves behind falls, and with which it ends;
- the worker: the parser, which runs the caller's code, or the dialler, which runs a hook with the caller's values.

The warden believes nothing that comes from inside: it carries bytes, at most so many, to whoever asked.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_rest_api.sandbox import packages
from airflow_rest_api.sandbox.child import confinement, dialler, kernel, parser, processes, surroundings
from airflow_rest_api.sandbox.child.guard import Guard, install
from airflow_rest_api.sandbox.child.surroundings import Plan
from airflow_rest_api.sandbox.strength import Strength

MEMORY_BYTES = 2 << 30
MOST_RESULT, MOST_OUTPUT, MOST_WRITTEN = 1 << 20, 4 << 20, 64 << 20
_TICK_SECONDS = 0.05
_NO_SURROUNDINGS = 97
_TAIL = 4000
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)


@dataclass
class Outcome:
    """How a cell ended: ``reason`` is `done`, `timeout`, `memory`, `output`, `exit`, `crash` or `refused`."""

    reason: str
    result: bytes
    output: bytes


@dataclass(frozen=True)
class Parsing:
    """To parse all modules that were sent."""

    bundle_name: str
    guard: Guard | None = None

    def carry_out(self, dags: Path, result: int) -> None:
        """Parse, and write what was found."""
        paths = sorted(str(path.relative_to(dags)) for path in _sent(dags))
        parser.parse(dags, paths, self.bundle_name, parser.writer(result))


@dataclass(frozen=True)
class Dialling:
    """To test a connection, guarded."""

    connection: Mapping[str, Any]
    guard: Guard

    def carry_out(self, _: Path, result: int) -> None:
        """Test, and write what came of it; `unguarded` where this machine cannot guard anybody."""
        write = parser.writer(result)
        try:
            install(self.guard.theirs)
        except OSError:
            write({"unguarded": True})
        else:
            write(dialler.dial(self.connection))


@dataclass(frozen=True)
class Task:
    """What to do, in which surroundings, and for how many seconds at the most."""

    plan: Plan
    python_path: tuple[str, ...]
    seconds: float
    strength: Strength
    work: Parsing | Dialling


class _Source(Protocol):
    """Something to read from inside."""

    is_open: bool

    @property
    def reader(self) -> int:
        """The descriptor to wait at."""

    def take(self) -> bool:
        """Take what is there; False when there was more than is read."""


@dataclass
class _Pipe:
    """The reading end of a pipe from inside, and what has come out of it."""

    most: int
    reader: int = -1
    writer: int = -1
    content: bytearray = field(default_factory=bytearray)
    is_open: bool = True

    def __post_init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def take(self) -> bool:
        """Take what is there; False when there was more than is read."""
        data = os.read(self.reader, 65_536)
        self.is_open = bool(data)
        self.content += data
        return len(self.content) <= self.most


def run(task: Task, is_wanted: Callable[[], bool]) -> Outcome:
    """Parse in a cell of its own, and return what came of it when nothing is left of the cell.

    It is ended as soon as the answer is not wanted any more. To be called in a process of its own.
    """
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if task.strength == "full":
        surroundings.leave_processes()
    elif task.strength == "partial":
        confinement.prepare(task.plan)
    result, output = _Pipe(MOST_RESULT), _Pipe(MOST_OUTPUT)
    guards = [task.work.guard] if task.work.guard is not None else []
    if task.strength != "full":
        # Without a namespace of processes, those inside do not end with the warden.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        first = os.fork()
        if first == 0:
            _never_returns(lambda: _inside(task, result.writer, output.writer))
        os.close(result.writer)
        os.close(output.writer)
        for guard in guards:
            guard.leave_theirs()
        reason = _watched(task, first, [result, output, *guards], is_wanted)
    finally:
        processes.kill_family(os.getpid())
        if task.strength == "partial":
            confinement.clear(task.plan)
    _drain([result, output])
    return Outcome(reason, bytes(result.content), bytes(output.content[-_TAIL:]))


def _watched(task: Task, first: int, sources: Sequence[_Source], is_wanted: Callable[[], bool]) -> str:
    """Wait for the end of the first process, or for a reason to end it."""
    deadline = time.monotonic() + task.seconds
    while True:
        status = _ending(first)
        if status is not None:
            return _reason(os.waitstatus_to_exitcode(status))
        if time.monotonic() > deadline:
            return "timeout"
        if not is_wanted():
            return "unwanted"
        if processes.memory_of_family(os.getpid()) > MEMORY_BYTES:
            return "memory"
        if task.strength == "partial" and _is_written_full(task.plan):
            return "output"
        if not all(source.take() for source in _ready(sources, _TICK_SECONDS)):
            return "output"


def _is_written_full(plan: Plan) -> bool:
    """Return whether the processes inside have written more than their temporary files may hold."""
    return processes.written_by_family(os.getpid()) > MOST_WRITTEN or confinement.is_littered(plan)


def _ending(first: int) -> int | None:
    """Return the status of the first process when it has ended; it cannot, before all others there are buried."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended in (0, first):
            return status if ended else None


def _reason(status: int) -> str:
    if status == _NO_SURROUNDINGS:
        return "refused"
    if status - 128 == signal.SIGXCPU:
        return "timeout"
    if status < 0 or status - 128 in _CRASHES:
        return "crash"
    return "done" if status == 0 else "exit"


def _ready(sources: Iterable[_Source], seconds: float) -> Iterator[_Source]:
    by_reader = {source.reader: source for source in sources if source.is_open}
    if not by_reader:
        time.sleep(seconds)
    ready = select.select(list(by_reader), [], [], seconds)[0] if by_reader else []
    return (by_reader[reader] for reader in ready)


def _drain(pipes: list[_Pipe]) -> None:
    """Read what is left when all writers have ended."""
    deadline = time.monotonic() + 1
    while any(pipe.is_open for pipe in pipes) and time.monotonic() < deadline:
        for pipe in _ready(pipes, _TICK_SECONDS):
            if not pipe.take():
                return


def _never_returns(work: Callable[[], int]) -> None:
    """Do the work of a process that must not go on as a copy of the one that it was forked from."""
    status = 1
    try:
        status = work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _inside(task: Task, result: int, output: int) -> int:
    """Be the first process of the cell."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    guard = task.work.guard
    _keep_only([result, output, *([guard.theirs.fileno()] if guard else [])])
    # Where memory runs short, these are the processes to end.
    Path("/proc/self/oom_score_adj").write_text("1000")
    # Whatever the service keeps to itself: in here others have to find their way.
    os.umask(0o022)
    for standard in (1, 2):
        os.dup2(output, standard)
    try:
        dags = _furnished(task)
    except OSError as fault:
        os.write(2, f"{fault}\n".encode())
        return _NO_SURROUNDINGS
    # A change of identity takes it off.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    worker = os.fork()
    if worker == 0:
        _never_returns(lambda: _work(task, dags, result))
    os.close(result)
    if guard is not None:
        guard.leave_theirs()
    return _until_ended(worker)


def _furnished(task: Task) -> Path:
    """Make the surroundings, and return the folder of the caller's files in there. Raises `OSError`."""
    if task.strength == "full":
        surroundings.enter(task.plan)
        return surroundings.DAGS
    dags = confinement.furnish(task.plan)
    if task.strength == "weak":
        confinement.give_up_identity(task.plan)
    return dags


def _until_ended(worker: int) -> int:
    """Bury whatever ends inside, and end with the parser; all that is left then ends with this process."""
    while True:
        ended, status = os.wait()
        if ended == worker:
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                # The first process of a namespace cannot end itself by a signal: 128 and more stand for one.
                return 128 - code
            # What only this process may say.
            return 1 if code == _NO_SURROUNDINGS else code


def _work(task: Task, dags: Path, result: int) -> int:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    _limit(task)
    # Airflow's own handler of a crash in C goes on where it crashed, for ever; a blocked one ends the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, _CRASHES)
    # The sandbox's own, which is empty.
    temporary = "/tmp" if task.strength == "full" else str(confinement.temporary(task.plan))  # noqa: S108
    os.environ.update(HOME=temporary, TMPDIR=temporary)
    # What was found out in the server is no more.
    tempfile.tempdir = None
    os.chdir(dags)
    sys.path[:0] = [str(dags), *task.python_path]
    confinement.enter(task.plan, task.strength)
    task.work.carry_out(dags, result)
    # Without what the caller's code has left to be done at exit.
    os._exit(0)


def _sent(dags: Path) -> Iterator[Path]:
    """Yield the modules that were sent, which are files where the bundle's others are links."""
    for place, _, names in os.walk(dags, followlinks=False):
        paths = (Path(place, name) for name in names if name.endswith((".py", packages.SUFFIX)))
        yield from (path for path in paths if not path.is_symlink())


def _limit(task: Task) -> None:
    # Outside of a namespace of users, the kernel counts all processes of the user.
    others = 0 if task.strength == "full" else processes.tasks_of(os.getuid())
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_FSIZE: 16 << 20,
        # Each may hold a fifth of a megabyte of the kernel's that nobody counts.
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: others + 64,
        resource.RLIMIT_CORE: 0,
    }
    pairs = {what: (most, most) for what, most in limits.items()}
    # At the first number a process ends by a signal that says why, at the second it is killed.
    pairs[resource.RLIMIT_CPU] = (int(task.seconds) + 1, int(task.seconds) + 3)
    for what, pair in pairs.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, pair)


def _keep_only(kept: list[int]) -> None:
    """Close all files but these and the standard ones."""
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 4096)
