"""The fork server: imports Airflow once, and forks a warden for each parse and each test of a connection.

It reads requests from the socket that is its standard input: a message of JSON with the writing end of a pipe for
the answer, the reading end of one that is closed when the answer is not wanted any more and, of a connection to be
tested, the reading end of one that holds it. It ends with the socket.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from airflow_rest_api.sandbox.addresses import Policy
from airflow_rest_api.sandbox.child import cell, dialler, parser, strengths, surroundings
from airflow_rest_api.sandbox.child.guard import Guard
from airflow_rest_api.sandbox.child.kernel import PR_SET_PDEATHSIG, prctl
from airflow_rest_api.sandbox.strength import Strength

_MOST = 65_536


def serve(channel: socket.socket, home: Path, strength: Strength) -> None:
    """Answer requests until nobody can send any more."""
    parser.warm_up(home)
    dialler.warm_up()
    # What is there now is there in all cells; the collector would only make copies of its pages.
    gc.collect()
    gc.freeze()
    channel.send(b"ready")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MOST, 3)
        if not message:
            return
        if os.fork() == 0:
            channel.close()
            _answer(json.loads(message), strength, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _answer(
    request: dict[str, Any], strength: Strength, reply: int, wanted: int, order: int | None = None
) -> None:
    """Be the warden of one cell; does not return."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # In the place of the channel, or one end of a pipe would become the standard input of the caller's code.
        os.open(os.devnull, os.O_RDONLY)
        os.setsid()
        work = _parsing(request) if order is None else _dialling(request, order)
        task = _task(request, work, strength)
        outcome = _outcome(task, wanted, is_weak_allowed=request["is_weak_allowed"])
        answer: dict[str, Any] = {"reason": outcome.reason, "strength": strength}
        if work.guard is not None:
            answer["denied"] = work.guard.denied
        texts = {"result": outcome.result, "output": outcome.output}
        message = {**answer, **{name: text.decode("utf-8", "replace") for name, text in texts.items()}}
        with os.fdopen(reply, "wb") as file:
            file.write(json.dumps(message).encode())
    finally:
        os._exit(0)


def _outcome(task: cell.Task, wanted: int, *, is_weak_allowed: bool) -> cell.Outcome:
    if task.strength == "weak" and not is_weak_allowed:
        return cell.Outcome("weak", b"", b"")
    return cell.run(task, lambda: not select.select([wanted], [], [], 0)[0])


def _parsing(request: dict[str, Any]) -> cell.Parsing:
    return cell.Parsing(request["bundle_name"])


def _dialling(request: dict[str, Any], order: int) -> cell.Dialling:
    with os.fdopen(order, "rb") as file:
        connection = json.loads(file.read())
    return cell.Dialling(connection, Guard(Policy.of(request["openings"], request["own"])))


def _task(request: dict[str, Any], work: cell.Parsing | cell.Dialling, strength: Strength) -> cell.Task:
    beside = request["beside"]
    plan = surroundings.Plan(
        stage=Path(request["stage"]),
        folder=Path(request["folder"]),
        beside=None if beside is None else Path(beside),
        replaced=request["replaced"],
        readable=tuple(map(Path, request["readable"])),
        hidden=tuple(map(Path, request["hidden"])),
        is_connected=work.guard is not None,
    )
    return cell.Task(plan, tuple(request["readable"]), request["seconds"], strength, work)


def main() -> None:
    """Find out what this machine allows, and serve. The argument is a folder of the server's own."""
    home = Path(sys.argv[1])
    probe = home / "probe"
    probe.mkdir()
    strength = strengths.found(probe)
    shutil.rmtree(probe, ignore_errors=True)
    try:
        with socket.socket(fileno=0) as channel:
            serve(channel, home, strength)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
