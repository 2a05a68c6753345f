"""The ledger: the record that a keeper writes, which stays known while the disk has no room for it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from airflow_rest_api.supervision import records
from airflow_rest_api.supervision.families import Family
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.records import Record, State

RETRY_SECONDS = 1.0
_MOST_ATTEMPTS = 60


class Ledger:
    """The record of an instance, in memory and on the disk."""

    def __init__(self, folder: Folder, record: Record) -> None:
        """Take the record as it shall be; it is not written yet."""
        self._folder = folder
        self.record = record
        self.is_unsaved = True
        self.save()

    @property
    def family(self) -> Family:
        """All processes that came of the component."""
        record = self.record
        return Family(record.marker, record.last, frozenset({record.guardian, record.keeper}))

    @property
    def is_there(self) -> bool:
        """Whether the record is on the disk, some record at least."""
        return records.is_there(self._folder)

    @property
    def has_gone(self) -> bool:
        """Whether the instance's folder has been removed."""
        return self._folder.has_gone()

    def save(self, **changes: Any) -> None:
        """Change the record, and write it if that can be done now."""
        self.record = replace(self.record, **changes)
        try:
            records.write(self._folder, self.record)
            self.is_unsaved = False
        except OSError:
            self.is_unsaved = True

    def close(self, state: State, **changes: Any) -> None:
        """Write the last record of the instance; a disk that is full may have room again soon."""
        self.save(state=state, mark=None, last=None, **changes)
        for _ in range(_MOST_ATTEMPTS):
            if not self.is_unsaved or self.has_gone:
                return
            time.sleep(RETRY_SECONDS)
            self.save()
