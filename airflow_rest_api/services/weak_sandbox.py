"""A weak sandbox: the error where it executes nothing, and the warning at start."""

from __future__ import annotations

import logging
import threading

from airflow_rest_api.sandbox.box import Sandbox
from airflow_rest_api.services import errors

log = logging.getLogger(__name__)

_SETTING = "allow_weak_sandbox"


class SandboxTooWeak(errors.Denied):
    """Nothing is executed in the sandbox, because this machine does not separate it from the service."""

    title = "The sandbox is too weak"

    def __init__(self) -> None:
        super().__init__(
            "Disabled: this machine offers neither namespaces nor Landlock, so the sandbox could not protect this"
            " service from the code it executes. An administrator can allow that with"
            f" `[rest_api] {_SETTING} = True`.",
            switch=_SETTING,
        )


def warn(sandbox: Sandbox, *, is_allowed: bool) -> None:
    """Log a warning if the sandbox is weak. Finding out takes a moment, so a thread does it."""
    threading.Thread(target=_warn, args=(sandbox, is_allowed), daemon=True).start()


def _warn(sandbox: Sandbox, is_allowed: bool) -> None:
    # A probe fails when this process ends meanwhile; that shows nothing about the machine.
    if sandbox.probed() == "weak":
        log.warning(
            "The sandbox is weak: this machine offers neither namespaces nor Landlock. %s",
            f"DAG files that callers send can reach whatever this service can, since [rest_api] {_SETTING} is on."
            if is_allowed
            else f"DAGs cannot be validated or deployed, nor connections tested, unless [rest_api] {_SETTING} is on.",
        )
