"""`python -m benchmark`: measure on a prepared stage, and print."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import islice

from benchmark import dataset, machine, old_calls, report
from benchmark.comparison import differences
from benchmark.database import NoPostgres
from benchmark.measurement import LoadFailed, Pace, alone, measure
from benchmark.operations import ALL_TASK_INSTANCES, TRIGGER_PREFIX, Operation, every_operation
from benchmark.options import Options, parse
from benchmark.processes import ProcessEnded
from benchmark.servers import AIRFLOW, OURS, Server, Service, serving
from benchmark.stage import Stage, set_up, tell

COMPARED_PATHS, SHOWN_DIFFERENCES = 5, 4
VALIDATION = "AIRFLOW__REST_API__VALIDATE_RESPONSES"
FAULTS = (NoPostgres, ProcessEnded, LoadFailed, dataset.OtherDataset, dataset.AirflowFailed, OSError)


def main() -> int:
    """Run the benchmark; 1 when something could not be measured, or with `--check` a target is missed."""
    options = parse()
    circumstances = {"machine": machine.facts(), "size": asdict(options.size), "pace": asdict(options.pace)}
    tell(f"load average before: {circumstances['machine']['load_average']} (figures need a quiet machine)")
    # Also where a shell started this in the background, and so with INT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with set_up(options.data, options.size) as stage:
            pace = replace(options.pace, core=stage.cores.generator)
            results = _validation(stage, pace) if options.validation else _comparison(stage, pace, options)
    except KeyboardInterrupt:
        return 130
    except FAULTS as error:
        tell(f"scripts/bench: {error}")
        return 1
    return _conclude(results, options, circumstances)


def _comparison(stage: Stage, pace: Pace, options: Options) -> report.Results:
    operations = [
        each for each in every_operation(stage.targets) if not options.only or each.name in options.only
    ]
    services = [service for service in (AIRFLOW, OURS) if service.name in options.sides]
    tell(f"{pace.connections} connections, {pace.rounds} rounds of {pace.seconds:g} s on each server in turn")
    with ExitStack() as stack:
        running = Running(stage, services, stack)
        print(report.HEADER, flush=True)
        try:
            rows = [_row(operation, running, pace) for operation in operations]
            times = _all_task_instances(operations, running, pace)
            return report.Results(rows, times, old_calls=_old_calls(stage, running, pace, options))
        finally:
            if not all(operation.is_read for operation in operations):
                dataset.forget_triggered(stage.url, TRIGGER_PREFIX)


def _validation(stage: Stage, pace: Pace) -> report.Results:
    """What the check of answers costs here: the same server with and without it, on a list of fifty."""
    services = [replace(OURS, name=f"validation {on}", settings={VALIDATION: on}) for on in ("True", "False")]
    (operation,) = (each for each in every_operation(stage.targets) if each.name == "get_dags")
    with ExitStack() as stack:
        checked, unchecked = measure(operation, Running(stage, services, stack).servers, pace).values()
    tell(f"get_dags: {checked.rate:.0f} requests/s with validation, {unchecked.rate:.0f} without")
    return report.Results(validation_cost=100 * (1 - report.median_ratio(checked, unchecked)))


class Running:
    """The services that run, started anew when one has died: a fault of the interpreter was seen to end Airflow's."""

    def __init__(self, stage: Stage, services: Sequence[Service], stack: ExitStack) -> None:
        self._stage, self._services, self._stack = stage, services, stack
        self.servers: dict[str, Server] = {}
        self.start()

    def start(self) -> None:
        """End what still runs, and start every service."""
        self._stack.close()
        self.servers = {
            service.name: self._stack.enter_context(
                serving(service, self._stage.home, self._stage.settings, self._stage.cores.server)
            )
            for service in self._services
        }

    def revived(self) -> bool:
        """Start every service anew if one has died; tell whether it was so."""
        dead = [name for name, server in self.servers.items() if not server.is_alive()]
        if dead:
            tell(f"{' and '.join(dead)} died and is started anew")
            self.start()
        return bool(dead)


def _row(operation: Operation, running: Running, pace: Pace) -> report.Row:
    row = _measured(operation, running.servers, pace)
    if row.failure and running.revived():
        row = _measured(operation, running.servers, pace)
    print(report.table_row(row), flush=True)
    return row


def _measured(operation: Operation, servers: Mapping[str, Server], pace: Pace) -> report.Row:
    found: tuple[str, ...] = ()
    try:
        if operation.is_read and len(servers) > 1:
            found = _differences(operation, servers)
        return report.Row(operation.name, operation.is_read, measure(operation, servers, pace), found)
    except (LoadFailed, OSError) as error:
        return report.Row(operation.name, operation.is_read, differences=found, failure=str(error))


def _differences(operation: Operation, servers: Mapping[str, Server]) -> tuple[str, ...]:
    """The first differences between the answers to a few requests of an operation."""
    pairs = (
        (servers[AIRFLOW.name].get(path), servers[OURS.name].get(path))
        for path in operation.paths[:COMPARED_PATHS]
    )
    found = (line for theirs, ours in pairs for line in differences(theirs, ours, operation.volatile))
    return tuple(islice(found, SHOWN_DIFFERENCES))


def _all_task_instances(operations: Sequence[Operation], running: Running, pace: Pace) -> dict[str, float]:
    chosen = [operation for operation in operations if operation.name == ALL_TASK_INSTANCES]
    running.revived()
    return {
        name: alone(operation, server, pace)
        for operation in chosen
        for name, server in running.servers.items()
    }


def _old_calls(stage: Stage, running: Running, pace: Pace, options: Options) -> list[old_calls.OldRow]:
    """The old calls beside the commands that they stand for, on a server that runs anyway."""
    server = running.servers.get(OURS.name)
    chosen = [
        call for call in old_calls.every_call(stage.targets) if not options.only or call.name in options.only
    ]
    if server is None or not chosen:
        return []
    print(report.OLD_HEADER, flush=True)
    rows = []
    for call in chosen:
        rows.append(old_calls.measure(call, server, stage, pace))
        print(report.old_row(rows[-1]), flush=True)
    return rows


def _conclude(results: report.Results, options: Options, circumstances: Mapping[str, object]) -> int:
    for line in report.summary(results):
        print(line)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report.as_json(results, circumstances), indent=2) + "\n")
    missed = report.missed_targets(results) if options.check else []
    for words in missed:
        tell(f"missed: {words}")
    return int(bool(missed) or any(row.failure for row in results.rows))


if __name__ == "__main__":
    sys.exit(main())
