"""`python -m airflow_rest_api.supervision`: carry out one order, which is read from the standard input.

It is started in the instance's folder by a service, leaves it at once, and ends with the instance. The answer is one
line on the standard output: `pid`, `fault`, or `refused` when the instance is there already.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_rest_api.sandbox.child import kernel
from airflow_rest_api.supervision import processes, records
from airflow_rest_api.supervision.channels import ask_to_stop, locked
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.guardian import goes_on, is_kept, supervise
from airflow_rest_api.supervision.keeper import own_mark
from airflow_rest_api.supervision.orders import Order, parts_of
from airflow_rest_api.supervision.records import Record


def main() -> None:
    """Read an order, leave the service, and carry it out."""
    told = json.loads(sys.stdin.buffer.read())
    if os.fork():
        # The service waits for this process, and is nobody's parent any more.
        os._exit(0)
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 2)
    os.close(nothing)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    with suppress(OSError):
        _carry_out(told)


def _carry_out(told: Mapping[str, Any]) -> None:
    folder = Folder(Path.cwd())
    try:
        if locked(folder, is_in_use=lambda: is_kept(records.read(folder))) is None:
            if told.get("ends"):
                # Somebody else has been found who keeps it.
                ask_to_stop(folder, told["marker"], told["grace_seconds"])
            _say(refused=True)
        elif "order" in told:
            _begin(folder, Order.of_json(told["order"]), told["marker"])
        else:
            _go_on(folder, told["marker"], ends=told["ends"], grace_seconds=told["grace_seconds"])
    except OSError as fault:
        _say(fault=fault.strerror)


def _begin(folder: Folder, order: Order, marker: str) -> None:
    """Start an instance."""
    if goes_on(records.read(folder)):
        _say(refused=True)
        return
    mark = own_mark()
    record = Record(
        marker=marker,
        place=processes.place() or "",
        state="starting",
        argv=order.argv,
        restart=order.restart,
        grace_seconds=order.grace_seconds,
        whole_group=order.whole_group,
        log_bytes=order.log_bytes,
        log_files=order.log_files,
        keeper=mark,
        guardian=mark,
    )
    supervise(order, folder, record)


def _go_on(folder: Folder, marker: str, *, ends: bool, grace_seconds: float | None) -> None:
    """Keep, or end, an instance that has lost both its guardian and its keeper.

    It is not started again: nobody knows the environment any more that it was given.
    """
    record = records.read(folder)
    parts = parts_of(folder.path.name)
    if record is None or parts is None or record.marker != marker or record.state in records.ENDED:
        return
    grace = record.grace_seconds if grace_seconds is None else grace_seconds
    mark = own_mark()
    state: records.State = "stopping" if ends else "running"
    known = replace(
        record,
        state=state,
        is_asked=record.is_asked or ends,
        restart=False,
        grace_seconds=grace,
        keeper=mark,
        guardian=mark,
    )
    order = Order(
        *parts,
        argv=record.argv,
        environment={},
        grace_seconds=grace,
        log_bytes=record.log_bytes,
        log_files=record.log_files,
        whole_group=record.whole_group,
    )
    supervise(order, folder, known)


def _say(**what: object) -> None:
    with suppress(OSError):
        os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
