"""What is printed and kept: a table of ratios, the figures that have a target, and the same as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from benchmark.measurement import Cell
from benchmark.old_calls import OldRow
from benchmark.servers import AIRFLOW, OURS

LEAST_MEAN, LEAST_RATIO, MOST_MILLISECONDS, MOST_COST = 3.0, 2.0, 200.0, 15.0
# An old call, over the command that the old plugin ran for it.
LEAST_OLD_RATIO = 100.0
OLD_HEADER = f"\n{'old call':32}{'command':24}{'command ms':>12}{'call ms':>10}{'ratio':>8}"
HEADER = (
    f"{'':32}{'requests/s':>19}{'':>8}{'p50 ms':>18}{'p99 ms':>18}\n"
    f"{'operation':32}{'airflow':>10}{'ours':>9}{'ratio':>8}" + f"{'airflow':>10}{'ours':>8}" * 2
)


@dataclass(frozen=True)
class Row:
    """One operation: its cell on each server, where the answers differ, and what went wrong."""

    operation: str
    is_read: bool
    cells: Mapping[str, Cell] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    failure: str = ""

    @property
    def ratio(self) -> float | None:
        """Our throughput over Airflow's: the median over the rounds, each compared with its neighbour."""
        if AIRFLOW.name not in self.cells or OURS.name not in self.cells:
            return None
        return median_ratio(self.cells[OURS.name], self.cells[AIRFLOW.name])


@dataclass(frozen=True)
class Results:
    """All that one run of the benchmark found out."""

    rows: Sequence[Row] = ()
    all_task_instances_ms: Mapping[str, float] = field(default_factory=dict)
    validation_cost: float | None = None
    old_calls: Sequence[OldRow] = ()

    @property
    def read_ratios(self) -> dict[str, float]:
        """The ratio of every shared read that was measured on both sides."""
        return {row.operation: row.ratio for row in self.rows if row.is_read and row.ratio is not None}


def median_ratio(one: Cell, other: Cell) -> float:
    """The throughput of `one` over that of `other`, round by round."""
    pairs = zip(one.rates, other.rates, strict=True)
    return statistics.median(left / right for left, right in pairs)


def table_row(row: Row) -> str:
    """A line of the table, and a line for each warning about it."""
    theirs, ours = row.cells.get(AIRFLOW.name), row.cells.get(OURS.name)
    figures = [_figure(cell.rate if cell else None, width) for cell, width in ((theirs, 10), (ours, 9))]
    figures.append(_figure(row.ratio, 8, 2))
    figures += [_figure(cell.p50 if cell else None, width) for cell, width in ((theirs, 10), (ours, 8))]
    figures += [_figure(cell.p99 if cell else None, width) for cell, width in ((theirs, 10), (ours, 8))]
    warnings = [f"  failed: {row.failure}"] if row.failure else []
    if row.differences:
        warnings.append(f"  answers differ: {'; '.join(row.differences)}")
    return "\n".join([f"{row.operation:32}{''.join(figures)}", *warnings])


def old_row(row: OldRow) -> str:
    """A line of the table of old calls."""
    return f"{row.name:32}{row.command:24}{row.command_ms:>12.0f}{row.call_ms:>10.1f}{row.ratio:>8.0f}"


def summary(results: Results) -> Iterator[str]:
    """The lines below the table."""
    ratios = results.read_ratios
    if ratios:
        lowest = min(ratios, key=lambda name: ratios[name])
        mean = statistics.geometric_mean(ratios.values())
        yield f"geometric mean of {len(ratios)} shared reads: {mean:.2f}"
        yield f"lowest ratio: {ratios[lowest]:.2f} ({lowest})"
    if results.all_task_instances_ms:
        times = ", ".join(f"{name} {value:.0f} ms" for name, value in results.all_task_instances_ms.items())
        yield f"100 task instances of all DAGs, one client: {times}"
    if results.validation_cost is not None:
        yield f"response validation costs {results.validation_cost:.1f} % of get_dags' throughput, limit 50"
    shares = [cell.generator_share for row in results.rows for cell in row.cells.values()]
    if shares:
        yield f"the load generator was busy for at most {max(shares):.0%} of a core"


def missed_targets(results: Results) -> list[str]:
    """The targets that the measured figures miss, in words."""
    ratios = results.read_ratios.values()
    time = results.all_task_instances_ms.get(OURS.name, 0)
    checks = {
        f"the geometric mean is below {LEAST_MEAN}": ratios
        and statistics.geometric_mean(ratios) < LEAST_MEAN,
        f"a shared read is below {LEAST_RATIO} times Airflow's": ratios and min(ratios) < LEAST_RATIO,
        f"100 task instances of all DAGs take more than {MOST_MILLISECONDS:.0f} ms": time > MOST_MILLISECONDS,
        f"response validation costs more than {MOST_COST:.0f} %": (results.validation_cost or 0) > MOST_COST,
        f"an old call is below {LEAST_OLD_RATIO:.0f} times its command": any(
            row.ratio < LEAST_OLD_RATIO for row in results.old_calls
        ),
        "an operation failed or answers otherwise": any(
            row.failure or row.differences for row in results.rows
        ),
    }
    return [words for words, is_missed in checks.items() if is_missed]


def as_json(results: Results, circumstances: Mapping[str, object]) -> dict[str, object]:
    """The results and their circumstances as plain data."""
    rows = [{**asdict(row), "ratio": row.ratio} for row in results.rows]
    ratios = list(results.read_ratios.values())
    return {
        **circumstances,
        "operations": rows,
        "old_calls": [{**asdict(row), "ratio": row.ratio} for row in results.old_calls],
        "geometric_mean": statistics.geometric_mean(ratios) if ratios else None,
        "lowest_ratio": min(ratios, default=None),
        "all_task_instances_ms": dict(results.all_task_instances_ms),
        "validation_cost_percent": results.validation_cost,
        "missed_targets": missed_targets(results),
    }


def _figure(value: float | None, width: int, digits: int | None = None) -> str:
    if value is None:
        return f"{'-':>{width}}"
    return f"{value:>{width}.{(1 if value < 1000 else 0) if digits is None else digits}f}"
