"""Confinement: what replaces surroundings of its own where the machine allows no namespaces.

Landlock leaves a process the files that it would see there, and filters take the network, signals and everything
else that reaches a process or a file of the same user. Processes can be seen, by number alone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

from airflow_rest_api.sandbox.child import calls, confined_calls, kernel, landlock, surroundings
from airflow_rest_api.sandbox.child.surroundings import NOBODY, Plan
from airflow_rest_api.sandbox.strength import Strength

# Of the kernel and the processors: libraries look there for how much work is sensible.
_MACHINE = (
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/uptime",
    "/proc/version",
    "/sys/devices/system/cpu",
)
_MOST_FILES = 4096


def prepare(plan: Plan) -> None:
    """Become nobody, if this is root, but keep the right to read what root can. Raises `OSError`.

    Python and its packages may lie in a folder of root's own. Landlock leaves only those to be read.
    """
    kept = kernel.reading_capability()
    if os.geteuid() == 0:
        os.chown(plan.stage, NOBODY, NOBODY)
        surroundings.become_nobody(kept)
    kernel.drop_capabilities(kept)


def furnish(plan: Plan) -> Path:
    """Make the bundle as it will be, and a folder for temporary files. Return the bundle's folder."""
    dags = plan.stage / "dags"
    surroundings.furnish_dags(plan, dags, plan.beside or Path())
    temporary(plan).mkdir(mode=0o700)
    return dags


def temporary(plan: Plan) -> Path:
    """Return the one folder that can be written to."""
    return plan.stage / "tmp"


def give_up_identity(plan: Plan) -> None:
    """Become nobody, if this is root, where files cannot be kept from being read by other means."""
    kept = () if all(map(_is_readable, map(Path, sys.path))) else kernel.reading_capability()
    if os.geteuid() == 0:
        os.chown(temporary(plan), NOBODY, NOBODY)
        surroundings.become_nobody(kept)
        kernel.drop_capabilities(kept)
    else:
        kernel.drop_capabilities()


def _is_readable(path: Path) -> bool:
    """Return whether every user may read a folder, or there is none."""
    return not path.is_dir() or all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def enter(plan: Plan, strength: Strength) -> None:
    """Give up everything but what is planned, for good, as far as a sandbox without namespaces can.

    Raises `OSError` in a sandbox that is `partial`. In a weak one, what the machine cannot do is left out.
    """
    if strength == "full":
        return
    with suppress(OSError) if strength == "weak" else nullcontext():
        if strength == "partial":
            landlock.restrict(_rules(plan), has_network=plan.is_connected)
        calls.refuse()
        confined_calls.confine(os.getpid(), has_network=plan.is_connected)


def _rules(plan: Plan) -> Iterator[landlock.Rule]:
    hidden = {path.resolve() for path in surroundings.hidden(plan) if path.exists()}
    readable = [*surroundings.shown(plan), *map(Path, _MACHINE), Path("/proc", str(os.getpid()))]
    for path in readable:
        yield from ((part, landlock.READ) for part in _parts(path.resolve(), hidden))
    if plan.beside is not None:
        within = {path for path in surroundings.hidden_within(plan.beside, hidden) if path.exists()}
        yield from ((part, landlock.READ) for part in _parts(plan.beside, within))
    yield plan.stage / "dags", landlock.READ
    yield temporary(plan), landlock.READ | landlock.CHANGE
    yield from ((Path(path), landlock.READ_FILE | landlock.WRITE_FILE) for path in surroundings.DEVICES)


def _parts(path: Path, hidden: Iterable[Path]) -> Iterator[Path]:
    """Yield a path; where something hidden lies within it, what else does."""
    if path in hidden:
        return
    if not any(one.is_relative_to(path) for one in hidden):
        yield path
        return
    with suppress(OSError), os.scandir(path) as entries:
        # A link may lead anywhere. Its target is among the paths, or not to be read.
        for entry in (entry for entry in entries if not entry.is_symlink()):
            yield from _parts(Path(entry.path), hidden)


def is_littered(plan: Plan) -> bool:
    """Return whether there are too many temporary files."""
    waiting, number = [str(temporary(plan))], 0
    while waiting:
        # A path may be too long to be read, or gone.
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                number += 1
                if number > _MOST_FILES:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return False


def clear(plan: Plan) -> None:
    """Remove the temporary files, in however many folders within each other they are."""
    with suppress(OSError):
        subprocess.run(["rm", "-rf", "--", temporary(plan)], check=False, stderr=subprocess.DEVNULL)


def is_possible(stage: Path) -> bool:
    """Return whether this machine confines a process, by trying it in a child process."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(_trial(stage))
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _trial(stage: Path) -> int:
    """Return 0 if files, the network and other processes are out of reach."""
    for name in ("root", "folder"):
        (stage / name).mkdir(parents=True)
    secret = stage / "secret"
    secret.write_text("")
    plan = Plan(stage / "root", stage / "folder", None, None, (), ())
    prepare(plan)
    furnish(plan)
    enter(plan, "partial")
    (temporary(plan) / "mine").write_text("")
    attempts = (secret.read_text, socket.socket, lambda: os.kill(os.getppid(), signal.SIGCONT))
    return sum(_succeeds(attempt) for attempt in attempts)


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
