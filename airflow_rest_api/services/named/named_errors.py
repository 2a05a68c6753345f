"""Named objects' refusals: what is said no to alike for variables, connections and pools."""

from __future__ import annotations

from airflow_rest_api.services import errors


class NameDiffers(errors.Malformed):
    """The body names another object than the path."""

    title = "The body names another object than the path"

    def __init__(self, field: str, name: str) -> None:
        super().__init__(f"The '{field}' of the body is not '{name}', which the path names.")


class NameMissing(errors.Malformed):
    """The name of a new object is empty."""

    title = "The name is empty"

    def __init__(self, word: str, field: str) -> None:
        super().__init__(f"The '{field}' of a new {word} is empty. Send a name of at least one character.")


class FieldNotChangeable(errors.Malformed):
    """The update mask holds a field that cannot be changed."""

    title = "The field cannot be changed"

    def __init__(self, fields: list[str]) -> None:
        names = ", ".join(f"'{field}'" for field in fields)
        super().__init__(
            f"The update mask has {names}, which cannot be changed; make another object for that."
        )


class NothingToReplace(errors.PreconditionFailed):
    """The object is expected to exist, and does not."""

    title = "There is nothing to replace"

    def __init__(self, word: str, name: str) -> None:
        super().__init__(
            f"There is no {word} '{name}', and If-Match expects one; without If-Match it is created."
        )


class CreationDenied(errors.Denied):
    """The object does not exist, and the caller may only replace such objects."""

    def __init__(self, word: str, name: str) -> None:
        super().__init__(f"The {word} '{name}' does not exist, and the caller may not create it.")


class TeamsAreOff(errors.Malformed):
    """A team is named where there are none."""

    title = "There are no teams"

    def __init__(self) -> None:
        super().__init__("A 'team_name' means something only where `[core] multi_team` is on.")


class UnknownTeam(errors.Malformed):
    """No such team is known to Airflow."""

    title = "The team is unknown"

    def __init__(self, team: str) -> None:
        super().__init__(f"There is no team '{team}'.")
