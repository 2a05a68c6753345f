"""Listeners: telling Airflow's plugins of states that were set by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.listeners.listener import get_listener_manager

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

log = logging.getLogger(__name__)


def tell_of_task_instances(instances: Iterable[TaskInstance], state: str) -> None:
    """Tell that task instances were set to ``success``, ``failed`` or ``skipped``.

    To be called after a flush: what the database refuses, it refuses before, and nobody is told twice when the unit
    of work is run again.
    """
    hook = get_listener_manager().hook
    for instance in instances:
        if state == "failed":
            reason = "The state of the task instance was set to failed by hand."
            _call(hook.on_task_instance_failed, previous_state=None, task_instance=instance, error=reason)
        else:
            told = hook.on_task_instance_success if state == "success" else hook.on_task_instance_skipped
            _call(told, previous_state=None, task_instance=instance)


def tell_of_run(run: DagRun, state: str) -> None:
    """Tell that a run was set to ``success`` or ``failed``; to be called after a flush."""
    hook = get_listener_manager().hook
    told = hook.on_dag_run_success if state == "success" else hook.on_dag_run_failed
    _call(told, dag_run=run, msg=f"The state of the run was set to {state} by hand.")


def _call(hook: Any, **facts: Any) -> None:
    try:
        hook(**facts)
    except Exception:
        # A listener is somebody else's code: its fault must not undo what was asked for.
        log.exception("A listener failed.")
