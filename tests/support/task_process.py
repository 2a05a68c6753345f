"""Processes that look like a task of Airflow and its supervisor: `python -m tests.support.task_process ID CODE`.

The supervisor prints the number of the task's process, which runs the CODE, and buries it when told to on its stdin.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import setproctitle

from tests.support import environment

SLEEP = "import time; time.sleep(300)"
# A child in a session of its own, as a bash task has.
WITH_CHILD = "import subprocess; subprocess.run(['sleep', '300'], start_new_session=True)"
# One that has left its parent and its group, and whose title is not the task's.
DETACHED = "import subprocess, time; subprocess.run(['setsid', '-f', 'sleep', '300']); time.sleep(300)"
# A copy of the task's process that has left its parent and its group.
COPIED = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
time.sleep(300)
"""


@dataclass
class TaskProcess:
    """The process of a task and its supervisor."""

    supervisor: subprocess.Popen[str]
    pid: int

    def end(self) -> None:
        """Kill the task's process and have it buried; what it has started goes on."""
        psutil.Process(self.pid).kill()
        self.bury()

    def bury(self) -> None:
        """Let the supervisor ask for the exit code of the task's process, and go on."""
        assert self.supervisor.stdin is not None
        assert self.supervisor.stdout is not None
        self.supervisor.stdin.write("bury\n")
        self.supervisor.stdin.flush()
        assert self.supervisor.stdout.readline() == "buried\n"


@contextmanager
def running(instance_id: str, code: str = SLEEP, **variables: str) -> Iterator[TaskProcess]:
    """Start a task that runs the code, with further `variables`; end it and all that came of it afterwards."""
    mark = {"TASK_PROCESS_OF": instance_id}
    supervisor = subprocess.Popen(
        [sys.executable, "-m", __name__, instance_id, code],
        cwd=environment.ROOT,
        env={**environment.without_coverage(os.environ), **mark, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    assert supervisor.stdin is not None
    pid = int(supervisor.stdout.readline())
    task = psutil.Process(pid)
    try:
        yield TaskProcess(supervisor, pid)
    finally:
        for process in (task, *came_of(instance_id)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        supervisor.kill()
        supervisor.wait()
        supervisor.stdin.close()
        supervisor.stdout.close()


def came_of(instance_id: str) -> list[psutil.Process]:
    """All living processes of the task, its supervisor among them.

    Titles are written over the variables, by which all others are found.
    """
    titled = [process for process in psutil.process_iter() if _title(process).endswith(instance_id)]
    return [*titled, *marked({"TASK_PROCESS_OF": instance_id})]


def marked(variables: dict[str, str]) -> list[psutil.Process]:
    """All living processes that were started with these variables."""
    return [process for process in psutil.process_iter() if variables.items() <= _variables(process).items()]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _variables(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def main() -> None:
    instance_id, code = sys.argv[1:]
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(0)
        os.close(1)
        setproctitle.setproctitle(f"airflow worker -- {instance_id}")
        exec(code)
        os._exit(0)
    setproctitle.setproctitle(f"airflow supervisor: {instance_id}")
    while _title(psutil.Process(pid)) != f"airflow worker -- {instance_id}":
        pass
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        os.waitpid(pid, 0)
        sys.stdout.write("buried\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
