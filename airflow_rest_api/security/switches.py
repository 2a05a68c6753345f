"""Switches: settings that turn a risky operation on, for everybody who has the power, or for nobody at all."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_rest_api.services import errors
from airflow_rest_api.settings import SECTION, Settings

SWITCHES = ("deploy_enabled", "test_enabled", "reveal_enabled", "upload_roots", "components_enabled")


class SwitchOff(errors.Denied):
    """A setting does not allow the operation on this installation, whoever asks."""

    title = "A switch is off"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This is switched off here: the administrator has not set [{SECTION}] {name}.", switch=name
        )


@dataclass(frozen=True)
class Switches:
    """The switches that are ``on``; by default none is."""

    on: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Switches:
        """Return the switches as they are set: a list or a table counts as on when something is in it."""
        return cls(frozenset(name for name in SWITCHES if getattr(settings, name)))

    def require(self, name: str) -> None:
        """Raise `SwitchOff` unless this switch is on."""
        if name not in self.on:
            raise SwitchOff(name)
