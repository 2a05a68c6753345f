"""Secrets: what Airflow's masks come to know is told to the warden, so that nobody else tells it.

A mask works on what goes through the logging of the process that has it. What a task writes past that, or a program
that the task starts, has to be masked by somebody who hears it in time.
"""

from __future__ import annotations

import re
import socket
from typing import Any

from airflow._shared.secrets_masker import secrets_masker as core
from airflow.sdk._shared.secrets_masker import secrets_masker as sdk

from airflow_rest_api.trial.warden import MOST_MESSAGE

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def tell(channel: socket.socket) -> None:
    """Send on what the masks know by now, and from now on at once what they come to know, in forks as well."""
    told: set[str] = set()

    def send(patterns: set[str]) -> None:
        for pattern in patterns - told:
            told.add(pattern)
            # As the mask keeps them for its expression.
            channel.send(_ESCAPED.sub(r"\1", pattern).encode()[:MOST_MESSAGE])

    for module in (core, sdk):
        _follow(module.SecretsMasker, send)
        send(module._secrets_masker().patterns)


def _follow(masker: Any, send: Any) -> None:
    known = masker.add_mask

    def add_mask(self: Any, secret: Any, name: str | None = None) -> None:
        known(self, secret, name)
        send(self.patterns)

    masker.add_mask = add_mask
