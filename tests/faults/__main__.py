"""`python -m tests.faults TARGET...`: run targets in an Airflow of their own, and print what they counted."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import faults
from tests.support import environment, postgres, template

Figures = dict[str, object]


def targets() -> list[str]:
    """The names of all targets; the test modules beside them are none."""
    names = (module.name for module in pkgutil.iter_modules(faults.__path__))
    return sorted(name for name in names if name != "__main__" and not name.startswith("test_"))


def target(name: str) -> Callable[[bool], Figures]:
    """The function to run; to be called when Airflow's settings are in the environment."""
    run: Callable[[bool], Figures] = importlib.import_module(f"{faults.__name__}.{name}").run
    return run


def run_all(names: Sequence[str], *, full: bool) -> dict[str, str]:
    """Run targets one after another; answer the reasons of those that were missed."""
    missed = {}
    for name in names:
        begin = time.monotonic()
        figures: Figures = {}
        try:
            figures = target(name)(full)
        except AssertionError as fault:
            missed[name] = reason(fault)
        seconds = time.monotonic() - begin
        verdict = f"MISSED: {missed[name]}" if name in missed else "held"
        sys.stdout.write("\n" + table(name, {**figures, "seconds": round(seconds, 1), "target": verdict}))
        sys.stdout.flush()
    return missed


def reason(fault: AssertionError) -> str:
    """What a failed assertion says, or the line that it stands in."""
    if str(fault):
        return str(fault)
    frame = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{frame.line} ({Path(frame.filename).name}, line {frame.lineno})"


def table(name: str, figures: Figures) -> str:
    """The figures of a target, one in a line."""
    width = max(len(figure) for figure in figures)
    return "".join([f"{name}\n", *(f"  {figure:<{width}}  {value}\n" for figure, value in figures.items())])


@contextmanager
def prepared_airflow(*, on_postgres: bool) -> Iterator[None]:
    """Make an Airflow with the scenario the one of this process, which has not imported it yet."""
    with tempfile.TemporaryDirectory(prefix="airflow-faults-") as folder:
        home = Path(folder)
        if not on_postgres:
            environment.enter(environment.prepare(home))
            template.copy_to(home)
            yield
            postgres.let_counts_be_written()
            return
        with postgres.prepared_database(home) as url:
            environment.enter(environment.settings(home, url))
            yield
            postgres.let_counts_be_written()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to run; --list names them")
    parser.add_argument("--list", action="store_true", help="name the targets and end")
    parser.add_argument("--quick", action="store_true", help="as small as in the test suite")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL cluster in place of SQLite")
    options = parser.parse_args(arguments)
    known = targets()
    if options.list:
        sys.stdout.write("".join(f"{name}\n" for name in known))
        return 0
    unknown = [name for name in options.targets if name not in known]
    if unknown or not options.targets:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "name at least one target, or --list")
    with prepared_airflow(on_postgres=options.postgres):
        missed = run_all(options.targets, full=not options.quick)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
