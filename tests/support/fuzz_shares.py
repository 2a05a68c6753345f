"""Statuses of a fuzz run, by operation: a table to read, and the limits that a run must keep.

A run in which most calls are rejected for want of a permission has tested little, however green it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# At most this share of the responses may reject the caller (401, 403), by contract. A run over the old calls makes few
# calls, and one in seven has a generated header token, which is wrong (403).
MOST_REJECTED = {"openapi": 0.05, "legacy": 0.2}
# Operations that no generated request can make succeed, and why.
NEVER_SUCCESSFUL = {
    "login": "generated passwords are wrong",
    "refresh_token": "generated refresh tokens are unknown",
    "get_celery_workers": "the server has no CeleryExecutor",
    "shut_down_celery_worker": "the server has no CeleryExecutor",
    "add_celery_queue": "the server has no CeleryExecutor",
    "remove_celery_queue": "the server has no CeleryExecutor",
    "cancel_operation": "no operation runs as long as its id is unknown to the fuzzer",
}


@dataclass(frozen=True)
class Shares:
    """How often each operation was answered with each status."""

    by_operation: Mapping[str, Counter[int]]

    @classmethod
    def read(cls, record: Path) -> Shares:
        by_operation: dict[str, Counter[int]] = {}
        for line in record.read_text().splitlines():
            operation, status = json.loads(line)
            by_operation.setdefault(operation, Counter())[status] += 1
        return cls(by_operation)

    @property
    def total(self) -> Counter[int]:
        return sum(self.by_operation.values(), Counter())

    @property
    def rejected(self) -> float:
        """The share of 401 and 403 among all responses."""
        return _share(self.total, (401, 403))

    def without_success(self) -> list[str]:
        """Operations without a 2xx that `NEVER_SUCCESSFUL` gives no reason for."""
        return sorted(
            name
            for name, counts in self.by_operation.items()
            if name not in NEVER_SUCCESSFUL and not any(status < 300 for status in counts)
        )

    def table(self) -> str:
        """A line per operation: its calls, and the share of 2xx, of each 4xx and of 5xx in percent."""
        lines = [_line(name, counts) for name, counts in sorted(self.by_operation.items())]
        return "\n".join([*lines, _line("all operations", self.total)])


def _line(name: str, counts: Counter[int]) -> str:
    kinds = {
        "2xx": range(200, 300),
        **{str(code): (code,) for code in _rejections(counts)},
        "5xx": range(500, 600),
    }
    shares = " ".join(f"{kind} {100 * _share(counts, codes):.1f} %" for kind, codes in kinds.items())
    return f"{name:34} {sum(counts.values()):6}  {shares}"


def _rejections(counts: Counter[int]) -> list[int]:
    return sorted(status for status in counts if 300 <= status < 500)


def _share(counts: Counter[int], statuses: Iterable[int]) -> float:
    return sum(counts[status] for status in statuses) / max(1, sum(counts.values()))
