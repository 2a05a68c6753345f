"""Sandboxes: the one of this process, set up for this Airflow."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_rest_api.sandbox import box
from airflow_rest_api.sandbox.box import CELL_PREFIX, Sandbox, SandboxBusy, SandboxUnavailable
from airflow_rest_api.sandbox.verdict import Verdict
from airflow_rest_api.services import configuration, errors, weak_sandbox
from airflow_rest_api.services.deployments import leftovers
from airflow_rest_api.services.deployments.submission import FOLDER_PREFIX, Submission
from airflow_rest_api.settings import Settings


class CheckersBusy(errors.Unavailable):
    """Too many files wait to be checked."""

    title = "Other files are being checked"

    def __init__(self) -> None:
        super().__init__(
            "Too many DAG files are being checked at present; try again shortly.", retry_after=10
        )


class CheckerUnavailable(errors.Unavailable):
    """No file can be checked on this machine."""

    title = "DAG files cannot be checked"

    def __init__(self) -> None:
        super().__init__(
            "No process could be started that checks DAG files; try again shortly.", retry_after=10
        )


def of_installation(settings: Settings) -> Sandbox:
    """Return a sandbox that hides what belongs to Airflow and to callers, and shows what DAG files import.

    A third of the worker threads is always left to other requests, however long files take.
    """
    leftovers.sweep([CELL_PREFIX, FOLDER_PREFIX])
    own = [configuration.home(), configuration.file_path(), *configuration.database_files()]
    hidden = [*own, configuration.log_folder(), *settings.upload_roots.values()]
    # As Airflow's processes have it; the bundle itself is in front.
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    shown = [*(Path(path) for path in named if path), configuration.plugins_folder()]
    places = max(1, settings.worker_threads * 2 // 3)
    return Sandbox(hidden, shown, places=places, is_weak_allowed=settings.allow_weak_sandbox)


def verdict_on(submission: Submission, sandbox: Sandbox) -> Verdict:
    """Parse what was submitted, as if it stood in its bundle.

    Raises `CheckersBusy`, `CheckerUnavailable`, `weak_sandbox.SandboxTooWeak`.
    """
    try:
        return sandbox.validate(
            submission.folder,
            bundle_name=submission.bundle.name,
            beside=submission.bundle.path,
            replaced=submission.replaced,
        )
    except SandboxBusy:
        raise CheckersBusy from None
    except box.SandboxTooWeak:
        raise weak_sandbox.SandboxTooWeak from None
    except SandboxUnavailable as fault:
        raise CheckerUnavailable from fault
