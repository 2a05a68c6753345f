"""Which core does what, so that the load generator takes nothing from the server that it measures."""

from __future__ import annotations

import os
import platform
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """The server's own core, the generator's, and PostgreSQL's; nothing is pinned where there is just one."""

    server: frozenset[int]
    generator: int | None
    database: frozenset[int]

    def __str__(self) -> str:
        """A clause for the head of the report."""
        if self.generator is None:
            return "server, load generator and PostgreSQL on the same core"
        places = {"server": self.server, "load generator": {self.generator}, "PostgreSQL": self.database}
        return ", ".join(f"{name} on core {_listed(cores)}" for name, cores in places.items())


def share_out() -> Cores:
    """Give out the cores that this process may use: one each; to PostgreSQL the rest, or the generator's."""
    free = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(free) < 2:
        return Cores(frozenset(), None, frozenset())
    return Cores(frozenset(free[:1]), free[1], frozenset(free[2:] or free[1:]))


def facts() -> dict[str, str | int | float | None]:
    """What a reader of the figures wants to know about the machine; the load is that of the last minute."""
    names = {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()}
    return {**names, "load_average": round(os.getloadavg()[0], 2)}


def _listed(cores: AbstractSet[int]) -> str:
    return ",".join(str(core) for core in sorted(cores))
