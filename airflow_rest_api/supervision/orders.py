"""Orders: what is to be kept alive, and how."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# The number of a start, in the environment of all that comes of it.
MARKER = "AIRFLOW_REST_API_COMPONENT"
# What a keeper and its guardian keep, in their own environment.
KEEPS = "AIRFLOW_REST_API_KEEPS"
INSTANCE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_COMPONENT = re.compile(r"[a-z][a-z0-9-]{0,63}")
# A record has a size that never changes, and must hold it.
_MOST_ARGV_BYTES = 8 << 10


@dataclass(frozen=True)
class Order:
    """A component to be started: ``argv[0]`` is the path of a program, ``environment`` all that it is given.

    ``instance`` tells several of one component apart. With ``restart`` it is started again whenever it ends without
    having been stopped, after 1, 2, 4 … 60 seconds. To stop it, SIGTERM is sent to its process group, or, without
    ``whole_group``, to its first process alone, which is to end the others; what is left after ``grace_seconds`` is
    killed. The log has at most ``log_files`` files of ``log_bytes`` each.

    Raises `ValueError` for names and sizes that cannot be.
    """

    component: str
    instance: str | None
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    restart: bool = False
    grace_seconds: float = 30.0
    log_bytes: int = 10 << 20
    log_files: int = 5
    whole_group: bool = True

    def __post_init__(self) -> None:
        name_of(self.component, self.instance)
        if not self.argv or not Path(self.argv[0]).is_absolute():
            raise ValueError("A program is named by its whole path.")
        if len(json.dumps(self.argv)) > _MOST_ARGV_BYTES or any("\0" in part for part in self.argv):
            raise ValueError("The command line is too long, or has a part that none can have.")
        if not 0 <= self.grace_seconds < math.inf or self.log_bytes < 1 or self.log_files < 1:
            raise ValueError("Times and sizes are positive.")

    @property
    def name(self) -> str:
        """The name of the instance's folder."""
        return name_of(self.component, self.instance)

    def as_json(self) -> dict[str, Any]:
        """Return the order as plain data."""
        return {**asdict(self), "environment": dict(self.environment)}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Order:
        """Read what `as_json` has made."""
        return cls(**{**told, "argv": tuple(told["argv"])})


def name_of(component: str, instance: str | None) -> str:
    """Return `component` or `component@instance`; raises `ValueError` where either is no such name."""
    if not _COMPONENT.fullmatch(component):
        raise ValueError("No component has such a name.")
    if instance is not None and not INSTANCE.fullmatch(instance):
        raise ValueError("An instance's name has 1 to 64 letters, digits, dots, hyphens and underscores.")
    return component if instance is None else f"{component}@{instance}"


def parts_of(name: str) -> tuple[str, str | None] | None:
    """Return the component and the instance that `name_of` has made a name of, None where it has not."""
    component, at, instance = name.partition("@")
    try:
        name_of(component, instance if at else None)
    except ValueError:
        return None
    return component, instance if at else None
