"""Connection arguments of the embedded SQLite database; `scripts/serve` copies this file into the home."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

# Seconds that a writer waits for its turn before it gives up with "database is locked". Several processes write one
# file, and a scheduler that gives up ends: with Airflow's 5 seconds, 20 parallel triggers ended it four times.
# The API server answers its callers instead, but must not wait long for itself: it writes audit rows on the thread of
# its event loop, and the lock is then often held by a request of its own, which needs that loop to commit.
PATIENCE = 5.0 if "api-server" in sys.argv else 60.0
PATIENCE_ON_EVENT_LOOP = 1.0


class Connection(sqlite3.Connection):
    """A connection that waits for a lock as long as the thread that uses it can afford."""

    waits: float = PATIENCE

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Open a cursor, after adapting the patience to the present thread."""
        wanted = PATIENCE_ON_EVENT_LOOP if _is_event_loop() else PATIENCE
        if wanted != self.waits:
            super().execute(f"PRAGMA busy_timeout = {wanted * 1000:.0f}")
            self.waits = wanted
        return super().cursor(*args, **kwargs)


def _is_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


connect_args: dict[str, Any] = {"timeout": PATIENCE, "factory": Connection}
connect_args_async: dict[str, Any] = {"timeout": PATIENCE}
