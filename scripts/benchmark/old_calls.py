"""Old calls beside the commands that Clairvoyant's plugin ran for them: the same question, one after the other."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from benchmark import processes
from benchmark.dataset import Targets
from benchmark.measurement import LoadFailed, Pace, alone
from benchmark.operations import Operation
from benchmark.programs import program
from benchmark.servers import Server
from benchmark.stage import Stage

PREFIX = "old_"
DOOR = "/admin/rest_api"
COMMAND_SECONDS = 300


@dataclass(frozen=True)
class OldCall:
    """A call by its name, as rows name it, and the command of Airflow 3 that says the same."""

    name: str
    operation: Operation
    command: tuple[str, ...]


@dataclass(frozen=True)
class OldRow:
    """Milliseconds of the call and of the command, each the median."""

    name: str
    command: str
    call_ms: float
    command_ms: float

    @property
    def ratio(self) -> float:
        """How many times as fast the call is."""
        return self.command_ms / self.call_ms


def every_call(targets: Targets) -> Iterator[OldCall]:
    """The calls that are compared; the last ones make no difference to what the others read."""
    dag_id, run_id = targets.runs[0]
    date = run_id.partition("__")[2]
    (paused,) = targets.paused_dags[0]
    yield _call("version", ("version",))
    yield _call("list_dags", ("dags", "list"))
    yield _call("dag_state", ("dags", "state", dag_id, date), dag_id=dag_id, execution_date=date)
    yield _call("pause", ("dags", "pause", paused), dag_id=paused)


def _call(name: str, command: tuple[str, ...], **arguments: str) -> OldCall:
    path = f"/api?{urlencode({'api': name, **arguments})}"
    return OldCall(f"{PREFIX}{name}", Operation(f"{PREFIX}{name}", (path,)), command)


def measure(call: OldCall, server: Server, stage: Stage, pace: Pace) -> OldRow:
    """Ask both, one client each. Raises LoadFailed where one of them fails."""
    behind_the_door = replace(server, service=replace(server.service, base=DOOR))
    _require_ok(call, behind_the_door)
    times = [_run(call.command, stage) for _ in range(pace.rounds)]
    line = f"airflow {' '.join(call.command[:2])}"
    return OldRow(call.name, line, alone(call.operation, behind_the_door, pace), statistics.median(times))


def _require_ok(call: OldCall, server: Server) -> None:
    """An old call that failed is answered with 200 as well, and says so in its text."""
    answer = server.get(call.operation.paths[0])
    output = answer.get("output") if isinstance(answer, dict) else None
    if not output or (isinstance(output, dict) and (output["stderr"] or not output["stdout"])):
        raise LoadFailed(f"{call.name} answers {answer}")


def _run(command: Sequence[str], stage: Stage) -> float:
    log: Path = stage.home / "command.log"
    begun = time.perf_counter()
    child = processes.start([program("airflow"), *command], log, env=stage.settings, cores=stage.cores.server)
    try:
        if child.wait(COMMAND_SECONDS):
            raise LoadFailed(f"`airflow {' '.join(command)}` failed:\n{processes.last_lines(log)}")
    except subprocess.TimeoutExpired:
        processes.stop(child)
        raise LoadFailed(f"`airflow {' '.join(command)}` takes more than {COMMAND_SECONDS} s") from None
    return 1000 * (time.perf_counter() - begun)
