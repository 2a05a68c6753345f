"""Applications for worker processes that do not start. Nothing here imports Airflow, so that they fail quickly."""

from __future__ import annotations

import os
import signal
import time
from typing import NoReturn


def hanging() -> NoReturn:
    """Never finish."""
    while True:
        time.sleep(1)


def ending() -> NoReturn:
    """End the process."""
    os._exit(7)


def killed() -> NoReturn:
    """Be killed, as by the kernel that has run out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
