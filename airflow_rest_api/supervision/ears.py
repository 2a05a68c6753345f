"""Ears: what a keeper waits for: the component's output and its end, words and signals that tell it to end."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from airflow_rest_api.supervision import channels, families
from airflow_rest_api.supervision.channels import Channels
from airflow_rest_api.supervision.ledger import RETRY_SECONDS, Ledger
from airflow_rest_api.supervision.log_files import LogWriter
from airflow_rest_api.supervision.processes import Mark

# How often somebody looks whether the folder and the record are still there.
_LOOK_SECONDS = 2.0
_PIECE = 64 << 10
# A component that never stops writing is not listened to alone.
_PIECES_AT_ONCE = 16


class GuardianGone(Exception):
    """The guardian was killed: the keeper has to become one."""


class Ears:
    """Listens for a keeper; ``stop_by`` is when the grace of a component ends that is to be stopped."""

    def __init__(self, told: Channels, log: LogWriter, ledger: Ledger) -> None:
        self._channels = told
        self._log = log
        self._ledger = ledger
        self._codes: dict[int, int] = {}
        self._guardian = families.hold(ledger.record.guardian)
        self._wakes = _wakes_on_signals()
        self.component: int | None = None
        self.stop_by: float | None = None

    def wait(self, until: float | None) -> None:
        """Wait for something to happen, and take it. Raises `GuardianGone`."""
        seconds = RETRY_SECONDS if self._ledger.is_unsaved else _LOOK_SECONDS
        if until is not None:
            seconds = min(seconds, max(0.0, until - time.monotonic()))
        poll = select.poll()
        known = (
            self._channels.output[0],
            self._channels.control,
            self._wakes[0],
            self.component,
            self._guardian,
        )
        for descriptor in known:
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        self.take()
        if self._ledger.is_unsaved or not self._ledger.is_there:
            self._ledger.save()
        if self._ledger.has_gone:
            # Who removes the folder could not stop the component any more, but start another.
            self.limit(self._ledger.record.grace_seconds)
        if not families.lives(self._ledger.record.guardian):
            raise GuardianGone

    def take(self) -> None:
        """Take what has been written and said, and who has ended."""
        self._take_output()
        self._take_word()
        self._codes |= families.bury() | self._channels.ended()

    def code_of(self, mark: Mark) -> int | None:
        """Return the exit code of a process, as far as it has been heard of."""
        return self._codes.get(mark.pid)

    def limit(self, grace_seconds: float) -> None:
        """Bound the life of the component; who asks again may shorten the time, but not prolong it."""
        deadline = time.monotonic() + grace_seconds
        self.stop_by = min(self.stop_by or deadline, deadline)

    def attend(self, component: int | None) -> None:
        """Listen for the end of a process that is held, and let go of the last one."""
        if self.component is not None:
            os.close(self.component)
        self.component = component
        self._codes.clear()

    def close(self) -> None:
        """Listen no more."""
        self.attend(None)
        signal.set_wakeup_fd(-1)
        for descriptor in (*self._wakes, self._guardian):
            if descriptor is not None:
                os.close(descriptor)
        self._log.close()

    def _take_output(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(_PIECES_AT_ONCE):
                self._log.write(os.read(self._channels.output[0], _PIECE))

    def _take_word(self) -> None:
        record = self._ledger.record
        with suppress(BlockingIOError):
            if os.read(self._wakes[0], 64):
                self.limit(record.grace_seconds)
        for message in self._channels.heard():
            asked = channels.asked_to_stop(message, record.marker, record.grace_seconds)
            if asked is not None:
                self.limit(asked)


def _wakes_on_signals() -> tuple[int, int]:
    """Return the ends of a pipe: the first can be read when the process was told to end."""
    woken, wakes = os.pipe()
    for descriptor in (woken, wakes):
        os.set_blocking(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    return woken, wakes


def _nothing(*_: object) -> None:
    """What a signal does is done by whoever is woken."""
