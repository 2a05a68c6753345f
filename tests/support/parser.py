"""What a DAG processor does when it has parsed a file, without one: for tests that say when a parse began."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUNDLE = "dags-folder"
FILE = "parsed_here.py"


def parse(folder: Path, file: str, seconds: float, bundle: str = BUNDLE) -> None:
    """Parse a file below `folder` now, and store what is found as one that was parsed for so many `seconds`."""
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    bag = BundleDagBag(folder / file, bundle_path=folder, bundle_name=bundle)
    with session() as opened:
        update_dag_parsing_results_in_db(
            bundle_name=bundle,
            bundle_version=None,
            dags=[LazyDeserializedDAG.from_dag(dag) for dag in bag.dags.values()],
            import_errors={(bundle, path): error for path, error in bag.import_errors.items()},
            parse_duration=seconds,
            warnings=set(),
            session=opened,
            files_parsed={(bundle, file)},
        )


@contextmanager
def session() -> Iterator[Any]:
    """A session that is committed at the end."""
    from airflow.utils.session import create_session

    with create_session(scoped=False) as opened:
        yield opened


@contextmanager
def repeatedly(folder: Path, file: str, bundle: str = BUNDLE) -> Iterator[None]:
    """Parse a file again and again meanwhile, for what waits until a DAG processor has done so."""
    ends = threading.Event()

    def parse_on() -> None:
        while not ends.wait(0.3):
            if (folder / file).exists():
                parse(folder, file, 0.1, bundle)

    thread = threading.Thread(target=parse_on)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
