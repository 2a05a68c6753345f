"""The guardian: the keeper's parent, which has another one go on where it was killed, and adopts what has lost its own.

A keeper whose guardian was killed becomes the guardian of another keeper: only both at once leave a component alone.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from airflow_rest_api.sandbox.child import kernel
from airflow_rest_api.supervision import families, processes, records
from airflow_rest_api.supervision.channels import Channels
from airflow_rest_api.supervision.ears import GuardianGone
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.keeper import Keeper, own_mark
from airflow_rest_api.supervision.orders import Order
from airflow_rest_api.supervision.processes import Mark
from airflow_rest_api.supervision.records import Record

_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.05, 1.0
_LONG_LIFE_SECONDS = 10.0


def supervise(order: Order, folder: Folder, record: Record) -> None:
    """Have keepers keep an instance until it has ended for good; returns in the guardian and in its keeper.

    Raises `OSError` when the channels cannot be opened or the record cannot be written.
    """
    channels = Channels.opened(folder)
    records.write(folder, record)
    pause = _LEAST_PAUSE_SECONDS
    while True:
        begin = time.monotonic()
        _pass_signals_on(channels, record.marker)
        guardian = own_mark()
        keeper = os.fork()
        if keeper == 0:
            if _keep(order, folder, channels, record, guardian):
                return
            continue
        _leave_answers()
        if _buried(keeper, channels) == 0:
            return
        pause = _LEAST_PAUSE_SECONDS if time.monotonic() - begin > _LONG_LIFE_SECONDS else pause * 2
        time.sleep(min(pause, _MOST_PAUSE_SECONDS))


def _keep(order: Order, folder: Folder, channels: Channels, first: Record, guardian: Mark) -> bool:
    """Be a keeper until the instance has ended; False when the guardian has gone, and this process is one now."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    known = records.read(folder)
    if known is None or known.marker != first.marker:
        # Somebody has removed what was known of it; what there is of it ends, as if it had lost its first process.
        known = replace(first, state="stopping", mark=None)
    try:
        Keeper(order, folder, channels, replace(known, keeper=own_mark(), guardian=guardian)).run()
    except GuardianGone:
        return False
    return True


def _buried(keeper: int, channels: Channels) -> int:
    """Return how the keeper ended, when it has; bury everybody else who ends meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        code = os.waitstatus_to_exitcode(status)
        if pid == keeper:
            return code
        channels.tell_end(pid, code)


def _pass_signals_on(channels: Channels, marker: str) -> None:
    """Whoever tells the guardian to end means the instance."""

    def tell(*_: object) -> None:
        os.write(channels.control, f"stop {marker} \n".encode())

    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _leave_answers() -> None:
    """The keeper alone answers the service."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def is_kept(record: Record | None) -> bool:
    """Tell whether an instance goes on, and somebody keeps it."""
    if record is None or record.state in records.ENDED or record.place != processes.place():
        return False
    return any(map(families.lives, (record.keeper, record.guardian)))


def goes_on(record: Record | None) -> bool:
    """Tell, of what an earlier start has left, whether it goes on; end what nobody keeps and no component is any more.

    To be called by the owner of the lock.
    """
    if record is None or record.state in records.ENDED or record.place != processes.place():
        return False
    if is_kept(record) or families.lives(record.mark):
        return True
    family = families.Family(record.marker, record.last, frozenset())
    return not families.kill(family, 10.0)
