"""Leftovers: temporary folders of this service whose process was killed before it could remove them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# Longer than any of them is in use.
STALE_SECONDS = 3600.0


def sweep(prefixes: Iterable[str]) -> int:
    """Remove folders of this user with one of the prefixes that nobody has touched for `STALE_SECONDS`.

    Returns how many there were.
    """
    before, place, removed = time.time() - STALE_SECONDS, Path(tempfile.gettempdir()), 0
    for path in [path for prefix in prefixes for path in place.glob(f"{prefix}*")]:
        with suppress(OSError):
            found = path.lstat()
            if found.st_uid == os.geteuid() and found.st_mtime < before and not path.is_symlink():
                shutil.rmtree(path)
                removed += 1
    return removed
