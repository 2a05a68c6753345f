"""Occupied places: a file is there already, and nobody said that it may be replaced."""

from __future__ import annotations

import socket

from airflow_rest_api.legacy.failures import BadRequest


class Occupied(BadRequest):
    """A file has the place, and is kept; the old plugins told where it is, and on which machine."""

    def __init__(self, full_path: str, end: str = "") -> None:
        """Take the path on this machine; ``end`` is how the plugin ended the sentence."""
        super().__init__(f"The file '{full_path}' already exists on host '{socket.gethostname()}'{end}")
