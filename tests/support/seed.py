"""Fill an empty metadata database: migrate it, parse `tests/dags` twice, insert the scenario.

Run as `python -m tests.support.seed` in the environment that `environment.prepare` gives.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.dag import DagModel
from airflow.utils.db import upgradedb
from airflow.utils.session import create_session
from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.support import seed_rows, seed_runs

GENERATION = "TEST_DAGS_GENERATION"


def main() -> None:
    migrate()
    with create_session(scoped=False) as session:
        parse(session, generation=1)
        seed_runs.first_generation(session)
    with create_session(scoped=False) as session:
        parse(session, generation=2)
        mark(session)
        seed_runs.second_generation(session)
        seed_rows.insert_rows(session)


def migrate() -> None:
    """Migrate Airflow's tables, and the service's own."""
    upgradedb()
    if find_spec("airflow_rest_api.storage") and find_spec("airflow_rest_api.storage.manager"):
        from airflow_rest_api.storage import manager

        manager.migrate()


def parse(session: Session, generation: int) -> None:
    """Do what a dag-processor does for every file of the DAGs folder."""
    os.environ[GENERATION] = str(generation)
    bundles = DagBundlesManager()
    bundles.sync_bundles_to_db(session=session)
    session.commit()
    for bundle in bundles.get_all_dag_bundles():
        bundle.initialize()
        bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(bag, bundle.name, bundle_version=None, session=session)
    session.commit()


def mark(session: Session) -> None:
    """Set what a dag-processor finds out by watching for a while."""
    session.execute(update(DagModel).where(DagModel.dag_id == "removed").values(is_stale=True))
    # Between a failed parse and the next look at the stale ones a DAG is active and has an import error.
    session.execute(update(DagModel).where(DagModel.dag_id == "breaks_and_stays").values(is_stale=False))
    session.commit()


if __name__ == "__main__":
    main()
