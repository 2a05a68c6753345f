"""Components: started and stopped again and again, while the service, the keepers and they themselves are killed.

Nothing may be left, nothing may be there twice, nobody else may be sent a signal, and what is found has to be right
within two seconds of every kill.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import psutil

from airflow_rest_api.supervision import folders, processes, records
from airflow_rest_api.supervision.processes import Mark
from airflow_rest_api.supervision.registry import ENDED, Registry, Supervised, Unknown
from tests.support import components
from tests.support.component_service import NAME, Service

CYCLES, FEW = 200, 6
RIGHT_WITHIN = 2.0
# Among other tests, how long it takes tells how busy those are.
RIGHT_WITHIN_WHEN_BUSY = 10.0
_SEED = 8
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
# One that looks like the component, and says so when it hears anything.
_BYSTANDER = """
import signal, sys, time
def tell(number, _):
    open(sys.argv[1], "a").write(f"{number}\\n")
for number in set(range(1, 32)) - {9, 19}:
    signal.signal(number, tell)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@dataclass
class Figures:
    """What was counted."""

    kills: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    late: list[str] = field(default_factory=list)
    orphans: int = 0
    doubles: int = 0
    reused: int = 0
    forged: int = 0


def run(full: bool) -> dict[str, object]:
    """Go through 200 cycles (quick: a few)."""
    cycles = CYCLES if full else FEW
    chance = random.Random(_SEED)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="components-") as place, _bystanders(Path(place)) as bystanders:
        patience = RIGHT_WITHIN if full else RIGHT_WITHIN_WHEN_BUSY
        trial = _Trial(Path(place) / "home", chance, figures, bystanders, patience)
        with trial.watching():
            for number in range(cycles):
                trial.cycle(number)
            trial.reuse(3 if full else 1)
        wrong = bystanders.signalled()
    judged(figures, wrong)
    return {
        "cycles": cycles,
        "kill -9": ", ".join(f"{who} {number}" for who, number in sorted(figures.kills.items())),
        "forged records": figures.forged,
        "reused numbers": figures.reused,
        "orphans": figures.orphans,
        "doubles": figures.doubles,
        "wrong processes signalled": wrong,
        "right after at most": f"{figures.slowest:.2f} s",
    }


def judged(figures: Figures, wrong: int) -> None:
    """Fail when anything was counted that must not be."""
    assert not figures.orphans, f"{figures.orphans} processes were left"
    assert not figures.doubles, f"{figures.doubles} times there were two"
    assert not wrong, f"{wrong} signals went to others"
    assert not figures.late, figures.late[0]


class _Bystanders:
    """Processes that have nothing to do with it: some as long as it all goes on, and others for a while."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._started: list[tuple[psutil.Popen, Path]] = []

    def start(self) -> int:
        heard = self._place / f"heard-{uuid4().hex}"
        started = psutil.Popen(
            [sys.executable, "-S", "-c", _BYSTANDER, str(heard)], stdout=subprocess.PIPE, cwd="/"
        )
        started.stdout.readline()
        started.stdout.close()
        self._started.append((started, heard))
        return started.pid

    def any(self) -> int:
        return self._started[0][0].pid

    def signalled(self) -> int:
        """How many signals they have heard, those among them that end or hold a process."""
        time.sleep(0.2)
        heard = sum(len(place.read_text().splitlines()) for _, place in self._started if place.exists())
        held = {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
        return heard + sum(not one.is_running() or one.status() in held for one, _ in self._started)

    def end(self) -> None:
        for process, _ in self._started:
            with suppress(psutil.Error):
                process.kill()
                process.wait(5)


@contextmanager
def _bystanders(place: Path) -> Iterator[_Bystanders]:
    bystanders = _Bystanders(place)
    try:
        for _ in range(3):
            bystanders.start()
        yield bystanders
    finally:
        bystanders.end()
        for process in components.below(place):
            components.kill(process)


class _Trial:
    """One component, a service that starts and stops it, and what is done to both."""

    def __init__(
        self, home: Path, chance: random.Random, figures: Figures, others: _Bystanders, patience: float
    ) -> None:
        self._home = home
        self._folder = home / "components"
        self._chance = chance
        self._figures = figures
        self._others = others
        self._patience = patience
        self._code = f"{components.WITH_CHILDREN}# {uuid4().hex}"
        self._registry = Registry(self._folder)
        self._over = threading.Event()
        self._is_restarted = False
        self.service = Service(self._folder, self._code)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the time whether there are two of it."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()
            self.service.kill()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            if len(self._first_ones()) > 1:
                self._figures.doubles += 1

    def _first_ones(self) -> list[int]:
        """The living processes that run the component's own code, not those that it forks to run another."""
        wanted = self._code.encode()
        found = []
        for place in Path("/proc").iterdir():
            with suppress(OSError):
                if place.name.isdecimal() and wanted in (place / "cmdline").read_bytes().split(b"\0"):
                    pid = int(place.name)
                    found += [pid] if os.getsid(pid) == pid else []
        return found

    def cycle(self, number: int) -> None:
        """Start it, kill some, stop it; now and then with a record that lies."""
        if self._chance.random() < 0.2:
            self._forge()
        self._start()
        for _ in range(self._chance.choice((0, 1, 1, 2))):
            time.sleep(self._chance.uniform(0, 0.2))
            self._kill_something()
        self._stop()
        self._note_orphans()

    def _start(self) -> None:
        self._is_restarted = self._chance.random() < 0.5
        word = "start again and again" if self._is_restarted else "start"
        self.service.tell(word)
        if self._chance.random() < 0.3:
            time.sleep(self._chance.uniform(0, 0.5))
            self._kill_service()
            # What it has begun is there whole or not at all; whoever asks next finds the one or the other.
            self.service.tell(word)
            assert (heard := self.service.hear()) in ("running", "AlreadyRunning"), heard
        else:
            assert (heard := self.service.hear()) == "running", heard
        self._within("started", self._is_whole)

    def _kill_something(self) -> None:
        who = self._chance.choice(("service", "keeper", "guardian", "keepers", "component", "all"))
        before = self._registry.find(NAME)
        assert before is not None
        self._figures.kills[who] += 1
        if who == "service":
            self._kill_service()
        elif who != "component":
            self._kill_keepers(who)
        if who in ("component", "all"):
            components.kill(before.pid)
            self._note_its_end(before, who)
        else:
            self._within(f"{who} killed", lambda one: one.state == "running" and one.pid == before.pid)

    def _note_its_end(self, before: Supervised, who: str) -> None:
        if self._is_restarted:
            self._within(who, lambda one: one.pid != before.pid and one.state in ("running", "backing_off"))
        else:
            self._within(who, lambda one: one.state == "failed" and one.pid is None)
            self._start()
        components.until(lambda: self._is_whole(self._registry.find(NAME)))

    def _kill_keepers(self, who: str) -> None:
        """Kill one of the two, or both: then the kernel is asked until neither has had another follow it."""
        found = components.keepers(self._home)
        inner = [one for one in found if one.ppid() in {other.pid for other in found}]
        if who in ("keeper", "guardian"):
            for process in inner if who == "keeper" else [one for one in found if one not in inner]:
                components.kill(process)
            return
        components.kill_keepers(self._home)
        # Nobody knows any more how to start it again.
        self._is_restarted = False

    def _kill_service(self) -> None:
        self.service.kill()
        self.service = Service(self._folder, self._code)

    def _stop(self) -> None:
        """Have it stopped, whoever is killed meanwhile; who has asked asks again, as the registry says."""
        self.service.tell("stop")
        if self._chance.random() < 0.3:
            time.sleep(self._chance.uniform(0, 0.1))
            self._kill_keepers(self._chance.choice(("keeper", "guardian", "keepers")))
        self.service.hear()
        components.until(self._has_stopped)

    def _has_stopped(self) -> bool:
        found = self._registry.find(NAME)
        assert found is not None
        if found.state in ENDED and not found.processes:
            return True
        if found.supervisor_pid is None or found.state == "running":
            self._registry.stop(NAME, None)
        return False

    def _note_orphans(self) -> None:
        deadline = time.monotonic() + RIGHT_WITHIN
        while (left := components.below(self._home)) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._figures.orphans += len(left)

    def _is_whole(self, found: Supervised | None) -> bool:
        """Tell whether it is there, once, with its children."""
        if found is None or found.state != "running" or found.processes != 3:
            return False
        return self._first_ones() == [found.pid]

    def _within(self, what: str, holds: Callable[[Supervised], bool]) -> None:
        """Wait until what is found is right, and note how long it was not."""
        begin = time.monotonic()
        while True:
            found = self._registry.find(NAME)
            late = time.monotonic() - begin
            if found is not None and holds(found):
                self._figures.slowest = max(self._figures.slowest, late)
                return
            if late > components.SECONDS:
                raise AssertionError(f"{what}: {found}")
            if late > self._patience:
                self._figures.late.append(f"{what}: {found}")
            time.sleep(0.01)

    def _forge(self) -> None:
        """Leave a record by which a bystander would be the component, or its keeper, of another boot or of this one."""
        other = processes.look(self._others.any())
        path = next(self._folder.glob(f"*/{NAME}"), None)
        if other is None or path is None:
            return
        earlier = Mark(other.mark.pid, other.mark.began - 1)
        with folders.entered(path) as folder:
            assert folder is not None
            known = records.read(folder)
            assert known is not None
            lies = replace(
                known, state="running", keeper=earlier, guardian=earlier, mark=earlier, last=earlier
            )
            if self._chance.random() < 0.5:
                lies = replace(
                    lies, place="another boot", mark=other.mark, last=other.mark, keeper=other.mark
                )
            records.write(folder, lies)
        self._figures.forged += 1
        found = self._registry.find(NAME)
        assert found is not None
        assert (found.state in ENDED, found.pid, found.supervisor_pid, found.processes) == (
            True,
            None,
            None,
            0,
        )
        if self._chance.random() < 0.5:
            self._registry.stop(NAME, None)

    def reuse(self, number: int) -> None:
        """Kill all, give the component's number to another, and look whether that is taken for it; as often as told."""
        for _ in range(2 * number):
            if self._figures.reused == number:
                return
            self._start()
            before = self._registry.find(NAME)
            assert before is not None
            assert before.pid
            self._kill_keepers("keepers")
            for process in components.below(self._home):
                components.kill(process)
            components.until(lambda: not components.below(self._home))
            if not self._given_to_another(before.pid):
                continue
            self._figures.reused += 1
            self._within("reused", lambda one: (one.state, one.pid, one.processes) == ("failed", None, 0))
            with suppress(Unknown):
                self._registry.stop(NAME, None)
            self._start()
            self._stop()
            self._note_orphans()

    def _given_to_another(self, pid: int) -> bool:
        """Have the kernel give this number to a bystander; False where it does not let us."""
        for _ in range(50):
            try:
                _LAST_PID.write_text(str(pid - 1))
            except OSError:
                return False
            if self._others.start() == pid:
                return True
        return False
