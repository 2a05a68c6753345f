"""The child of a trial: Airflow's supervisor, which forks a process for the task and serves it.

It reads its order from the standard input, and writes what it found to the first of the descriptors that it is given,
the log of the task to the second; the third is where secrets are told.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from airflow_rest_api.sandbox.child import kernel

# A process that the task has left behind would keep its log open; it is ended all the same.
os.environ["AIRFLOW__WORKERS__SOCKET_CLEANUP_TIMEOUT"] = "1"

from airflow.sdk.execution_time.supervisor import STATES_SENT_DIRECTLY, ActivitySubprocess

from airflow_rest_api.trial.child import lines, place, secrets, tasks
from airflow_rest_api.trial.child.forgetful import Client, Kept

Json = dict[str, Any]
_FAILED, _DEFERRED = "failed", "deferred"


class _Supervisor(ActivitySubprocess):
    def _upload_logs(self) -> None:
        """Leave the log where it is: it is the operation's."""


class Child:
    """One trial: its place, what the forgetful server keeps, and the descriptors that no fork may have."""

    def __init__(self, order: Mapping[str, Any], output: int, own: tuple[int, ...]) -> None:
        self._order = order
        self._output = output
        self._own = own
        self._place = place.find(order)
        self._conf = self._place.context.dag_run.conf
        self._kept = Kept(tasks.without_conf(self._place.context))
        self._client = Client(self._kept)
        self._notes = tasks.Notes(tempfile.TemporaryFile())  # noqa: SIM115 (closed with the process)

    def test(self) -> Json:
        """Run the task to its end, through all that it is deferred for."""
        begin = time.monotonic()
        while True:
            process = self._fork(tasks.run(self._order["params"], self._conf, self._notes))
            state: str | None = _state(process)
            code = process._exit_code
            if state == _DEFERRED:
                state = self._resumed()
            if state is not None:
                seconds = round(time.monotonic() - begin, 3)
                fault = self._notes.read().get("fault")
                return {"task_state": state, "exit_code": code, "seconds": seconds, "fault": fault}

    def render(self) -> Json:
        """Render the fields of the task."""
        self._fork(tasks.render(self._conf, self._notes))
        return self._notes.read()

    def _resumed(self) -> str | None:
        """Wait for the trigger; return how the task ended with it, None where it is to go on."""
        deferred, self._kept.deferred = self._kept.deferred, None
        process = self._fork(tasks.await_trigger(deferred, self._conf, self._notes))
        if process._exit_code != 0:
            return _FAILED
        noted = self._notes.read()
        if noted.get("state"):
            return str(noted["state"])
        context = self._kept.context
        context.next_method = deferred.next_method
        further = {"event": noted["event"]} if "event" in noted else {}
        context.next_kwargs = {**(deferred.next_kwargs or {}), **further}
        return None

    def _fork(self, target: tasks.Target) -> Any:
        self._notes.write()
        process = _Supervisor.start(
            what=self._place.instance,
            dag_rel_path=self._place.path,
            bundle_info=self._place.bundle,
            client=self._client,
            target=tasks.in_fork(target, self._own),
            logger=lines.logger(self._output),
        )
        process.wait()
        return process


def _state(process: Any) -> str:
    """Return what became of the task. A process that ends itself with 0 and says nothing has not succeeded."""
    told = process._terminal_state
    if told in STATES_SENT_DIRECTLY:
        return str(getattr(told, "value", told))
    state = (told or _FAILED) if process._exit_code == 0 else process.final_state
    return str(getattr(state, "value", state))


def main() -> None:
    """Carry out the order."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    # Nobody of the same user looks into the memory of whoever may ask the database.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    verdict, output, told = map(int, sys.argv[1:4])
    order = json.load(sys.stdin)
    secrets.tell(socket.socket(fileno=told))
    child = Child(order, output, (verdict, output))
    _write(verdict, {"ready": True})
    _write(verdict, getattr(child, order["what"])())


def _write(descriptor: int, what: Json) -> None:
    data = json.dumps(what).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
