"""Sources of variables: the value that DAGs read, wherever it comes from, and values in clear."""

from __future__ import annotations

from typing import Any

from airflow._shared.secrets_backend.base import call_secrets_backend_method
from airflow.models.variable import Variable
from sqlalchemy import select

from airflow_rest_api.services import errors, masks, variable
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.named import secret_sources
from airflow_rest_api.services.named.named_object import Entry
from airflow_rest_api.services.named.secret_sources import ALL, DATABASE, Found
from airflow_rest_api.services.states import Stated


class VariableNowhere(errors.NotFound):
    """No source has such a variable."""

    title = "Variable not found"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"There is no variable '{key}' in the database, the environment or a secrets backend.",
            variable_key=key,
        )


class ValueUndecryptable(errors.Conflict):
    """The stored value cannot be decrypted."""

    title = "The value cannot be decrypted"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The value of the variable '{key}' cannot be decrypted with Airflow's present Fernet keys; store it anew."
        )


def get_variable(key: str, *, source: str) -> Stated | Entry:
    """Return a variable: the one of the database, or with ``source`` `all` the one that DAGs read, and its source.

    The state is that of the database, which is what callers can change. Raises `VariableNotFound`,
    `VariableNowhere`, `BackendUnavailable`, `BackendDenies`.
    """
    if source != ALL:
        return variable.get_variable(key)
    row = _row(key)
    found = _found(key, row)
    if found.source == DATABASE:
        answer = {**variable.entry(found.content), "source": DATABASE}
    else:
        answer = {
            "key": key,
            "value": masks.variable(key, str(found.content)),
            "description": None,
            "is_encrypted": False,
            "team_name": None,
            "source": found.source,
        }
    return answer if row is None else Stated(answer, variable.state(row))


def get_text(key: str) -> str:
    """Return the value that DAGs read, letter for letter unless something of it has to be masked.

    Raises what `get_variable` raises, and `ValueUndecryptable`.
    """
    found = _found(key, _row(key))
    text = found.content.val if found.source == DATABASE else str(found.content)
    if text is None:
        raise ValueUndecryptable(key)
    return masks.variable_text(key, text)


def reveal_variable(key: str, *, source: str) -> Entry:
    """Return the value of a variable in clear, and its source; raises what `get_variable` raises.

    Raises `ValueUndecryptable`.
    """
    row = _row(key)
    if source == ALL:
        found = _found(key, row)
    elif row is None:
        raise variable.VariableNotFound(key)
    else:
        found = Found(row, DATABASE)
    value = found.content.val if found.source == DATABASE else str(found.content)
    if value is None:
        raise ValueUndecryptable(key)
    return {"key": key, "value": value, "source": found.source}


def _row(key: str) -> Variable | None:
    with reading() as session:
        return session.scalar(select(Variable).where(Variable.key == key))


def _found(key: str, row: Variable | None) -> Found:
    def ask(backend: Any) -> Any:
        team = row.team_name if row is not None else None
        return call_secrets_backend_method(backend.get_variable, team_name=team, key=key)

    found = secret_sources.first(ask, row)
    if found is None:
        raise VariableNowhere(key)
    return found
