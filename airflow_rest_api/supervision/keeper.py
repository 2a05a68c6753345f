"""The keeper: starts a component, takes its output, starts it again, and ends it with all that came of it."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from airflow_rest_api.supervision import channels as telling
from airflow_rest_api.supervision import families, processes, records
from airflow_rest_api.supervision.birth import NOT_RUN, Birth
from airflow_rest_api.supervision.channels import Channels
from airflow_rest_api.supervision.families import Family
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.log_files import LogWriter
from airflow_rest_api.supervision.orders import KEEPS, MARKER, Order
from airflow_rest_api.supervision.processes import Mark
from airflow_rest_api.supervision.records import Record

MOST_PAUSE_SECONDS = 60.0
# Who lived so long is started again as if for the first time.
LONG_LIFE_SECONDS = 60.0
# What a component has left behind is asked to end as well, and has no work of its own to finish.
LEFT_BEHIND_SECONDS = 1.0
# How long one attempt at killing goes on; there is another one afterwards.
_KILL_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_END_SECONDS, _GATE_SECONDS = 1.0, 0.5
# How often somebody looks whether the folder is still there.
_LOOK_SECONDS = 2.0
_MOST_ATTEMPTS = 60
_TICK_SECONDS = 0.02
_PIECE = 64 << 10
# A component that never stops writing is not listened to alone.
_PIECES_AT_ONCE = 16


class GuardianGone(Exception):
    """The guardian was killed: the keeper has to become one."""


class Keeper:
    """Keeps one instance, from where its record says that it is; the record has been written before."""

    def __init__(self, order: Order, folder: Folder, channels: Channels, record: Record) -> None:
        self._order = order
        self._folder = folder
        self._channels = channels
        self._record = record
        self._log = LogWriter(folder, most_bytes=order.log_bytes, files=order.log_files)
        self._is_unsaved = False
        self._stop_by: float | None = None
        self._has_asked = False
        self._is_adopted = False
        self._codes: dict[int, int] = {}
        self._component: int | None = None
        self._guardian = families.hold(record.guardian)
        self._wakes = _wakes_on_signals()

    def run(self) -> None:
        """Keep the instance until it has ended for good. Raises `GuardianGone`."""
        # First of all, who keeps it now.
        self._save()
        goes_on = self._resume()
        while goes_on:
            self._watch()
            self._clear()
            goes_on = self._is_to_live_again() and self._start()

    # How it begins

    def _resume(self) -> bool:
        """Go on where the last keeper has ended, or begin; False when that is the end already."""
        record = self._record
        if record.is_asked:
            self._ask_to_end(record.grace_seconds)
        if record.state == "backing_off":
            return self._pause() and self._start()
        if record.state == "starting" and not self._has_passed_the_gate():
            return self._start()
        if record.mark is not None:
            self._component = families.hold(record.mark)
            found = processes.look(record.mark.pid)
            self._is_adopted = found is None or found.parent != record.guardian.pid
        return True

    def _has_passed_the_gate(self) -> bool:
        """Tell whether the process that the last keeper made has become the component.

        It ends with that keeper unless it has.
        """
        deadline = time.monotonic() + _GATE_SECONDS
        while families.lives(self._record.mark):
            if time.monotonic() > deadline:
                self._save(state="running")
                return True
            time.sleep(_TICK_SECONDS)
        return False

    def _start(self) -> bool:
        """Start the component; False when it cannot be, and is not to be tried again."""
        if self._stop_by is not None:
            self._end("exited")
            return False
        order = self._order
        try:
            birth = Birth(
                order.argv,
                self._environment(),
                self._channels.output[1],
            )
        except OSError as fault:
            return self._has_failed(fault.errno or 0)
        self._save(
            state="starting", mark=birth.mark, last=birth.mark, started_at=_now(), log_offset=self._log.end
        )
        if self._is_unsaved:
            birth.give_up()
            return self._has_failed(0)
        self._component, self._is_adopted = families.hold(birth.mark), False
        fault_number = birth.open_gate()
        if fault_number:
            return self._has_failed(fault_number)
        self._save(state="running")
        _answer(pid=birth.pid)
        return True

    def _environment(self) -> dict[str, str]:
        given = {name: value for name, value in self._order.environment.items() if name != KEEPS}
        return {**given, MARKER: self._record.marker}

    def _has_failed(self, number: int) -> bool:
        """Say that no process could be made; True when there is to be another attempt."""
        reason = os.strerror(number) if number else "the disk has no room for its record"
        self._log.write(f"The component could not be started: {reason}.\n".encode())
        if self._order.restart and self._record.restarts:
            self._save(exit_code=NOT_RUN)
            return True
        self._end("failed", exit_code=NOT_RUN)
        _answer(fault=reason)
        return False

    # How it goes on

    def _watch(self) -> None:
        """Return when the component has ended, or its grace has."""
        while not self._has_ended():
            if self._stop_by is not None:
                self._begin_stopping()
                if time.monotonic() >= self._stop_by:
                    return
            self._wait(self._stop_by)

    def _begin_stopping(self) -> None:
        """Send SIGTERM, once."""
        if self._has_asked:
            return
        self._has_asked = True
        self._save(state="stopping", is_asked=True)
        table = processes.table()
        mark = self._record.mark
        if self._order.whole_group:
            marks = [process.mark for process in self._family().group(table)]
        else:
            marks = [mark] if mark else []
        families.send(marks, signal.SIGTERM)
        # Who is held hears nothing.
        families.send(marks, signal.SIGCONT)

    def _has_ended(self) -> bool:
        return self._component is None or not families.lives(self._record.mark)

    def _wait(self, until: float | None) -> None:
        """Wait for something to happen, and take it. Raises `GuardianGone`."""
        seconds = _RETRY_SECONDS if self._is_unsaved else _LOOK_SECONDS
        if until is not None:
            seconds = min(seconds, max(0.0, until - time.monotonic()))
        poll = select.poll()
        held = (
            self._channels.output[0],
            self._channels.control,
            self._wakes,
            self._component,
            self._guardian,
        )
        for descriptor in held:
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        self._take_output()
        self._take_word()
        self._codes |= families.bury()
        if self._is_unsaved:
            self._save()
        if self._folder.has_gone():
            # Who removes the folder could not stop the component any more, but start another.
            self._ask_to_end(self._record.grace_seconds)
        if not families.lives(self._record.guardian):
            raise GuardianGone

    def _take_output(self) -> None:
        for _ in range(_PIECES_AT_ONCE):
            try:
                piece = os.read(self._channels.output[0], _PIECE)
            except BlockingIOError:
                return
            self._log.write(piece)

    def _take_word(self) -> None:
        grace = self._record.grace_seconds
        with suppress(BlockingIOError):
            if os.read(self._wakes, 64):
                self._ask_to_end(grace)
        for message in self._channels.heard():
            asked = telling.asked_to_stop(message, self._record.marker, grace)
            if asked is not None:
                self._ask_to_end(asked)

    def _ask_to_end(self, grace_seconds: float) -> None:
        """Bound the life of the component; who asks again may shorten the time, but not prolong it."""
        deadline = time.monotonic() + grace_seconds
        self._stop_by = min(self._stop_by or deadline, deadline)

    # How it ends

    def _clear(self) -> None:
        """End what is left, and note how the component ended."""
        if self._has_ended():
            self._note_code()
            self._ask_left_behind()
        while not families.kill(self._family(), _KILL_SECONDS):
            self._save(state="stopping")
            self._take_output()
        self._note_code()
        self._let_go()
        self._take_output()

    def _ask_left_behind(self) -> None:
        family = self._family()
        marks = [process.mark for process in family.members(processes.table())]
        if not marks:
            return
        self._save(state="stopping", mark=None)
        families.send(marks, signal.SIGTERM)
        families.send(marks, signal.SIGCONT)
        deadline = time.monotonic() + LEFT_BEHIND_SECONDS
        while time.monotonic() < deadline and family.members(processes.table()):
            self._take_output()
            families.bury()
            time.sleep(_TICK_SECONDS)

    def _note_code(self) -> None:
        """Find out the exit code, which the guardian is told where the component was another keeper's child.

        Where it was adopted by others, nobody knows.
        """
        last = self._record.last
        deadline = time.monotonic() + _END_SECONDS
        while last is not None and self._record.exit_code is None and not families.lives(last):
            self._codes |= families.bury() | self._channels.ended()
            if last.pid in self._codes:
                self._record = replace(self._record, exit_code=self._codes[last.pid])
            elif self._is_adopted or time.monotonic() > deadline:
                return
            else:
                time.sleep(_TICK_SECONDS)

    def _let_go(self) -> None:
        if self._component is not None:
            os.close(self._component)
        self._component = None
        self._codes.clear()

    def _is_to_live_again(self) -> bool:
        """Wait for the next start, if there is to be one; False when the instance has ended for good."""
        if self._stop_by is not None or not self._order.restart:
            code = self._record.exit_code
            self._end("exited" if self._stop_by is not None or code == 0 else "failed")
            return False
        lived_long = _seconds_since(self._record.started_at) >= LONG_LIFE_SECONDS
        short_lives = 0 if lived_long else self._record.short_lives
        self._save(state="backing_off", mark=None, last=None, short_lives=short_lives + 1)
        return self._pause()

    def _pause(self) -> bool:
        """Wait before the next start; False when it was called off."""
        until = time.monotonic() + min(2.0 ** max(self._record.short_lives - 1, 0), MOST_PAUSE_SECONDS)
        while self._stop_by is None and time.monotonic() < until:
            self._wait(until)
        if self._stop_by is not None:
            self._end("exited")
            return False
        self._save(restarts=self._record.restarts + 1, exit_code=None)
        return True

    def _end(self, state: records.State, **changes: Any) -> None:
        """Write the last record of the instance; a disk that is full may have room again soon."""
        self._save(state=state, mark=None, last=None, **changes)
        for _ in range(_MOST_ATTEMPTS):
            if not self._is_unsaved or self._folder.has_gone():
                return
            time.sleep(_RETRY_SECONDS)
            self._save()

    def _family(self) -> Family:
        record = self._record
        keepers = {record.guardian, record.keeper}
        return Family(record.marker, record.last, frozenset(keepers))

    def _save(self, **changes: Any) -> None:
        """Write the record; while the disk has no room for it, what was known before stays known."""
        self._record = replace(self._record, **changes)
        try:
            records.write(self._folder, self._record)
            self._is_unsaved = False
        except OSError:
            self._is_unsaved = True


def _wakes_on_signals() -> int:
    """Return what can be read when the process was told to end."""
    woken, wakes = os.pipe()
    for descriptor in (woken, wakes):
        os.set_blocking(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    return woken


def _nothing(*_: object) -> None:
    """What a signal does is done by whoever is woken."""


def _answer(**what: object) -> None:
    """Tell the service, which may have gone, what became of its order; once."""
    with suppress(OSError):
        os.write(1, json.dumps(what).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _seconds_since(moment: str | None) -> float:
    if moment is None:
        return 0.0
    return (datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds()


def own_mark() -> Mark:
    """Return the mark of this process."""
    process = processes.look(os.getpid())
    assert process is not None
    return process.mark
