"""The command line of `scripts/bench`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.dataset import Size
from benchmark.measurement import Pace
from benchmark.servers import AIRFLOW, OURS

ROOT = Path(__file__).parents[2]
QUICK_SIZE = Size(dags=20, runs=2_000)
QUICK_PACE = Pace(seconds=0.5, rounds=2)


@dataclass(frozen=True)
class Options:
    """What to measure, on what, and where the results go."""

    size: Size
    pace: Pace
    sides: tuple[str, ...]
    only: tuple[str, ...]
    data: Path | None
    json: Path
    validation: bool
    check: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the process with a message at a fault."""
    given = _parser().parse_args(arguments)
    size, pace = (QUICK_SIZE, QUICK_PACE) if given.quick else (Size(), Pace())
    return Options(
        size=replace(size, **_set(dags=given.dags, runs=given.runs)),
        pace=replace(pace, **_set(seconds=given.seconds, rounds=given.rounds, connections=given.connections)),
        sides=(AIRFLOW.name, OURS.name) if given.side == "both" else (given.side,),
        only=tuple(name for name in given.only.split(",") if name),
        data=given.data or (ROOT / "build" / "bench" if given.keep else None),
        json=given.json,
        validation=given.validation,
        check=given.check,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "scripts/bench", description="Compare this service with Airflow's /api/v2."
    )
    parser.add_argument(
        "--quick", action="store_true", help="small data and short rounds: two minutes in all"
    )
    parser.add_argument("--dags", type=_positive, help="DAGs in the data set (200)")
    parser.add_argument("--runs", type=_positive, help="runs in all, five task instances each (100000)")
    parser.add_argument("--seconds", type=float, help="length of one round of load (3)")
    parser.add_argument("--rounds", type=_positive, help="rounds per operation and server (3)")
    parser.add_argument("--connections", type=_positive, help="keep-alive connections of the load (8)")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these operations only")
    parser.add_argument(
        "--side", choices=["both", AIRFLOW.name, OURS.name], default="both", help="measure one alone"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the data in build/bench, and use what is there"
    )
    parser.add_argument("--data", type=_folder, metavar="DIR", help="like --keep, in another folder")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "bench.json", help="results (build/bench.json)"
    )
    parser.add_argument("--validation", action="store_true", help="only the cost of response validation here")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    return parser


def _set(**values: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _folder(text: str) -> Path:
    return Path(text).resolve()
