"""Teams: which team a variable, a connection or a pool is to belong to, where Airflow has teams."""

from __future__ import annotations

from airflow.configuration import conf
from airflow.models.team import Team
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors


class TeamsOff(errors.Malformed):
    """A team was named where Airflow has none."""

    title = "There are no teams"

    def __init__(self) -> None:
        super().__init__("A `team_name` can be given only where `[core] multi_team` is on; leave it out.")


class TeamUnknown(errors.Malformed):
    """No team has this name."""

    title = "Team unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"The team '{name}' does not exist.", team_name=name)


def require(session: Session, name: str | None) -> None:
    """Raise `TeamsOff` or `TeamUnknown` unless something may be given to the team ``name``; None is no team."""
    if name is None:
        return
    if not conf.getboolean("core", "multi_team", fallback=False):
        raise TeamsOff
    if not session.scalar(select(exists().where(Team.name == name))):
        raise TeamUnknown(name)
