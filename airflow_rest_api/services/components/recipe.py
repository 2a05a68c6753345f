"""Recipe: how one component is started on this host, when it is alive, and why it may not be started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.components.options import Option
from airflow_rest_api.supervision.registry import Supervised

Wishes = Mapping[str, Any]
# What runs this service runs the components as well.
INTERPRETER = sys.executable


class ComponentOptionUnknown(errors.Malformed):
    """The command of the component has no such option."""

    title = "The component has no such option"

    def __init__(self, component_name: str, option: str, known: list[str]) -> None:
        told = f"it has {', '.join(known)}" if known else "it has none"
        super().__init__(
            f"The component '{component_name}' has no option '{option}'; {told}.",
            component_name=component_name,
            option=option,
        )


class ComponentOptionRejected(errors.Malformed):
    """The value of an option is none that the command takes, or does not go with another one."""

    title = "An option cannot have this value"

    def __init__(self, component_name: str, option: str, why: str) -> None:
        super().__init__(
            f"The option '{option}' of the component '{component_name}' {why}.",
            component_name=component_name,
            option=option,
        )


@dataclass(frozen=True)
class Recipe:
    """How one component is started: `python -m COMMAND OPTIONS`, never by a shell.

    ``is_ready`` looks whether what was started is really alive; ``missing`` says in one sentence why it cannot be
    started on this installation, None when it can; ``fault`` names an option that does not go with the others, and
    why (it goes on after `The option 'x' of the component 'y'`). ``ends`` tells of wishes with which the command does
    its work and ends, so that its end is no fault. ``defaults`` are wished for where the caller is silent;
    ``environment`` is added to this service's own. ``job_type`` is the type of Airflow's jobs that run it.
    Airflow's processes end their children in good order, so the first one alone is asked to end; with ``whole_group``
    all are.
    """

    name: str
    title: str
    command: tuple[str, ...]
    options: Mapping[str, Option]
    is_ready: Callable[[Supervised, Wishes], bool]
    missing: Callable[[], str | None] = lambda: None
    fault: Callable[[Wishes], tuple[str, str] | None] = lambda _: None
    ends: Callable[[Wishes], bool] = lambda _: False
    defaults: Wishes = field(default_factory=dict)
    environment: Callable[[], Mapping[str, str]] = dict
    job_type: str | None = None
    whole_group: bool = False
    ready_seconds: float = 60.0

    def whole(self, wishes: Wishes) -> Wishes:
        """Return the wishes with the defaults.

        Raises `ComponentOptionUnknown` and `ComponentOptionRejected`.
        """
        for name in wishes:
            if name not in self.options:
                raise ComponentOptionUnknown(self.name, name, sorted(self.options))
            if not self.options[name].fits(wishes[name]):
                raise ComponentOptionRejected(self.name, name, "has a value that it cannot take")
        whole = {**self.defaults, **wishes}
        if (found := self.fault(whole)) is not None:
            raise ComponentOptionRejected(self.name, *found)
        return whole

    def argv(self, wishes: Wishes) -> tuple[str, ...]:
        """Return the command line for whole wishes: the interpreter of this service, the command, its options."""
        words = (
            word for name in self.options if name in wishes for word in self.options[name].words(wishes[name])
        )
        return (INTERPRETER, "-m", *self.command, *words)


def shown(argv: tuple[str, ...]) -> list[str]:
    """Return a command line as it is told: without the interpreter, whose place is nobody's business."""
    return list(argv[2:] if argv[1:2] == ("-m",) else argv[1:])
