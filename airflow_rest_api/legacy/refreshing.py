"""Refreshing: asking for everything, as often as a client likes."""

from __future__ import annotations

from airflow_rest_api.legacy import mishaps
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_refresh
from airflow_rest_api.services.dags.dag_refresh import RefreshGoesOn


def refresh_all(caller: Caller, background: Background) -> None:
    """Ask for all files of which the caller may change the DAGs, without waiting; raises `Failed`.

    The old plugins knew no refresh that goes on: the second within a minute is asked for, and is no operation.
    """
    with mishaps.while_trying_to("Refresh all the DAGs"):
        try:
            dag_refresh.refresh_all_dags(dry_run=False, caller=caller, background=background)
        except RefreshGoesOn:
            dag_refresh.ask_again(caller=caller)
