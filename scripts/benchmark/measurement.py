"""Rounds of load on servers in turn, and what they amount to."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.load import Plan, Seen
from benchmark.operations import Operation
from benchmark.servers import Server

SCRIPTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Pace:
    """How hard and how long each cell is measured."""

    connections: int = 8
    seconds: float = 3.0
    rounds: int = 3
    core: int | None = None


@dataclass(frozen=True)
class Cell:
    """One operation on one server: requests per second of each round, times of all rounds in ms."""

    rates: tuple[float, ...]
    p50: float
    p99: float
    generator_share: float

    @property
    def rate(self) -> float:
        """Requests per second, the median of the rounds."""
        return statistics.median(self.rates)


class LoadFailed(RuntimeError):
    """An operation answered otherwise than expected while it was measured."""


def measure(operation: Operation, servers: Mapping[str, Server], pace: Pace) -> dict[str, Cell]:
    """Put load on the servers in turn, round after round. Raises LoadFailed."""
    seen: dict[str, list[Seen]] = {name: [] for name in servers}
    for server in servers.values():
        load(operation, server, pace, seconds=pace.seconds / 6)
    for _ in range(pace.rounds):
        for name, server in servers.items():
            seen[name].append(load(operation, server, pace, seconds=pace.seconds))
    return {name: _cell(rounds) for name, rounds in seen.items()}


def alone(operation: Operation, server: Server, pace: Pace) -> float:
    """The median time of an answer in milliseconds when one client asks, one request after the other."""
    single = Pace(connections=1, core=pace.core)
    return statistics.median(load(operation, server, single, seconds=pace.seconds).latencies)


def load(operation: Operation, server: Server, pace: Pace, *, seconds: float) -> Seen:
    """One run of the load generator. Raises LoadFailed."""
    requests = [server.request(operation.method, path, operation.body) for path in operation.paths]
    plan = Plan(server.port, requests, pace.connections, seconds, operation.status, pace.core)
    command = [sys.executable, "-m", "benchmark.load"]
    text = json.dumps(asdict(plan))
    done = subprocess.run(command, input=text, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadFailed(f"{operation.name} on {server.service.name}: {done.stderr.strip()}")
    return Seen(**json.loads(done.stdout))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _cell(rounds: Sequence[Seen]) -> Cell:
    latencies = [latency for seen in rounds for latency in seen.latencies]
    return Cell(
        rates=tuple(len(seen.latencies) / seen.elapsed for seen in rounds),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        generator_share=max(seen.busy / seen.elapsed for seen in rounds),
    )
