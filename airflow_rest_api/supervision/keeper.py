"""The keeper: starts a component, takes its output, starts it again, and ends it with all that came of it."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from datetime import datetime, timezone

from airflow_rest_api.supervision import families, processes
from airflow_rest_api.supervision.birth import NOT_RUN, Birth
from airflow_rest_api.supervision.channels import Channels
from airflow_rest_api.supervision.ears import Ears
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.ledger import Ledger
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
_CODE_SECONDS, _GATE_SECONDS = 1.0, 0.5
_TICK_SECONDS = 0.02


class Keeper:
    """Keeps one instance, from where its record says that it is."""

    def __init__(self, order: Order, folder: Folder, channels: Channels, record: Record) -> None:
        self._order = order
        self._output = channels.output[1]
        self._log = LogWriter(folder, most_bytes=order.log_bytes, files=order.log_files)
        # First of all it is written down who keeps it now.
        self._ledger = Ledger(folder, record)
        self._ears = Ears(channels, self._log, self._ledger)
        self._has_asked = False
        self._is_adopted = False

    def run(self) -> None:
        """Keep the instance until it has ended for good. Raises `GuardianGone`."""
        try:
            goes_on = self._resume()
            while goes_on:
                self._watch()
                self._clear()
                goes_on = self._is_to_live_again() and self._start()
        finally:
            self._ears.close()

    # How it begins

    def _resume(self) -> bool:
        """Go on where the last keeper has ended, or begin; False when that is the end already."""
        record = self._ledger.record
        if record.is_asked:
            self._ears.limit(record.grace_seconds)
        if record.state == "backing_off":
            return self._pause() and self._start()
        if record.state == "starting" and not self._has_passed_the_gate():
            return self._start()
        if record.mark is not None:
            self._ears.attend(families.hold(record.mark))
            found = processes.look(record.mark.pid)
            self._is_adopted = found is None or found.parent != record.guardian.pid
        return True

    def _has_passed_the_gate(self) -> bool:
        """Tell whether the process that the last keeper made has become the component.

        It ends with that keeper unless it has.
        """
        deadline = time.monotonic() + _GATE_SECONDS
        while families.lives(self._ledger.record.mark):
            if time.monotonic() > deadline:
                self._ledger.save(state="running")
                return True
            time.sleep(_TICK_SECONDS)
        return False

    def _start(self) -> bool:
        """Start the component; False when it cannot be, and is not to be tried again."""
        if self._ears.stop_by is not None:
            self._ledger.close("exited")
            return False
        try:
            birth = Birth(self._order.argv, self._environment(), self._output)
        except OSError as fault:
            return self._has_failed(os.strerror(fault.errno or 0))
        self._ledger.save(
            state="starting", mark=birth.mark, last=birth.mark, started_at=_now(), log_offset=self._log.end
        )
        if self._ledger.is_unsaved:
            birth.give_up()
            return self._has_failed("the disk has no room for its record")
        return self._is_born(birth)

    def _is_born(self, birth: Birth) -> bool:
        self._ears.attend(families.hold(birth.mark))
        self._is_adopted = False
        fault = birth.open_gate()
        if fault:
            return self._has_failed(os.strerror(fault))
        self._ledger.save(state="running")
        _answer(pid=birth.pid)
        return True

    def _environment(self) -> dict[str, str]:
        given = {name: value for name, value in self._order.environment.items() if name != KEEPS}
        return {**given, MARKER: self._ledger.record.marker}

    def _has_failed(self, reason: str) -> bool:
        """Say why no process could be made; True when there is to be another attempt."""
        self._log.write(f"The component could not be started: {reason}.\n".encode())
        if self._order.restart and self._ledger.record.restarts:
            self._ledger.save(exit_code=NOT_RUN)
            return True
        self._ledger.close("failed", exit_code=NOT_RUN)
        _answer(fault=reason)
        return False

    # How it goes on

    def _watch(self) -> None:
        """Return when the component has ended, or its grace has."""
        while not self._has_ended():
            stop_by = self._ears.stop_by
            if stop_by is not None:
                self._ask_to_end()
                if time.monotonic() >= stop_by:
                    return
            self._ears.wait(stop_by)

    def _ask_to_end(self) -> None:
        """Send SIGTERM, once."""
        if self._has_asked:
            return
        self._has_asked = True
        self._ledger.save(state="stopping", is_asked=True)
        mark = self._ledger.record.mark
        if self._order.whole_group:
            group = self._ledger.family.group(processes.table())
            _terminate([process.mark for process in group])
        elif mark is not None:
            _terminate([mark])

    def _has_ended(self) -> bool:
        return self._ears.component is None or not families.lives(self._ledger.record.mark)

    # How it ends

    def _clear(self) -> None:
        """End what is left, and note how the component ended."""
        if self._has_ended():
            self._note_code()
            self._end_left_behind()
        while not families.kill(self._ledger.family, _KILL_SECONDS):
            self._ledger.save(state="stopping")
            self._ears.take()
        self._note_code()
        self._ears.take()
        self._ears.attend(None)

    def _end_left_behind(self) -> None:
        marks = self._known_members()
        if not marks:
            return
        self._ledger.save(state="stopping", mark=None)
        _terminate(marks)
        deadline = time.monotonic() + LEFT_BEHIND_SECONDS
        while time.monotonic() < deadline and self._known_members():
            self._ears.take()
            time.sleep(_TICK_SECONDS)

    def _known_members(self) -> list[Mark]:
        """Return who is left, orphans too, which have come to keepers where the component has not come to others."""
        members = self._ledger.family.members(processes.table(), thoroughly=self._is_adopted)
        return [process.mark for process in members]

    def _note_code(self) -> None:
        """Find out the exit code, which the guardian tells where the component was another keeper's child.

        Where others have adopted it, nobody knows.
        """
        last = self._ledger.record.last
        deadline = time.monotonic() + _CODE_SECONDS
        while last is not None and self._ledger.record.exit_code is None and not families.lives(last):
            self._ears.take()
            code = self._ears.code_of(last)
            if code is not None:
                self._ledger.save(exit_code=code)
            if self._is_adopted or time.monotonic() > deadline:
                return
            time.sleep(_TICK_SECONDS)

    def _is_to_live_again(self) -> bool:
        """Wait for the next start, if there is to be one; False when the instance has ended for good."""
        record = self._ledger.record
        is_stopped = self._ears.stop_by is not None
        if is_stopped or not self._order.restart:
            self._ledger.close("exited" if is_stopped or record.exit_code == 0 else "failed")
            return False
        lived_long = _seconds_since(record.started_at) >= LONG_LIFE_SECONDS
        short_lives = 0 if lived_long else record.short_lives
        self._ledger.save(state="backing_off", mark=None, last=None, short_lives=short_lives + 1)
        return self._pause()

    def _pause(self) -> bool:
        """Wait before the next start; False when it was called off."""
        record = self._ledger.record
        until = time.monotonic() + min(2.0 ** max(record.short_lives - 1, 0), MOST_PAUSE_SECONDS)
        while self._ears.stop_by is None and time.monotonic() < until:
            self._ears.wait(until)
        if self._ears.stop_by is not None:
            self._ledger.close("exited")
            return False
        self._ledger.save(restarts=record.restarts + 1, exit_code=None)
        return True


def _terminate(marks: list[Mark]) -> None:
    families.send(marks, signal.SIGTERM)
    # Who is held hears nothing.
    families.send(marks, signal.SIGCONT)


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
