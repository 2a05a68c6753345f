"""Variables: values that DAGs read by a key, as they are stored in Airflow's database.

A value is a text. What a caller sends as another kind of JSON is stored as JSON text, as Airflow does; what a value
may be shown as is said by `masks.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.models.variable import Variable
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, masks
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.lists.ordering import Sorting
from airflow_rest_api.services.named import named_object, named_object_bulk, named_object_list
from airflow_rest_api.services.named.named_object import Entry, Fields, Noun
from airflow_rest_api.services.named.named_object_list import NamedList
from airflow_rest_api.services.states import Precondition, Stated


class VariableNotFound(errors.NotFound):
    """The database has no such variable."""

    title = "Variable not found"

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no variable '{key}' in the database.", variable_key=key)


class VariableExists(errors.AlreadyExists):
    """There is a variable with this key."""

    title = "The variable exists already"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"There is a variable '{key}' already; change it by PATCH or replace it by PUT.", variable_key=key
        )


def entry(variable: Variable) -> Entry:
    """Return a variable as `/api/v2` answers it; a value that cannot be decrypted is null."""
    return {
        "key": variable.key,
        "value": masks.variable(variable.key, variable.val),
        "description": variable.description,
        "is_encrypted": variable.is_encrypted,
        "team_name": variable.team_name,
    }


def text_of(value: Any) -> str:
    """Return the text under which a value of a body is stored: JSON for what is no text (Airflow's `VariableBody`)."""
    return value if isinstance(value, str) else json.dumps(value, indent=2)


def state(variable: Variable) -> tuple[Any, ...]:
    """Return the stored columns of a variable that callers can change, the value as it is encrypted."""
    return (variable.key, variable._val, variable.description, variable.is_encrypted, variable.team_name)


def made(fields: Fields) -> Variable:
    """Return a new variable of a body; raises `MaskedValue`."""
    key = fields["key"]
    text = masks.kept_variable(key, text_of(fields["value"]), None)
    return Variable(key, text, fields.get("description"), fields.get("team_name"))


def change(variable: Variable, fields: Fields) -> None:
    """Set these fields of a variable; raises `MaskedValue`."""
    # What cannot be decrypted is shown as null, which leaves it as it is stored.
    if "value" in fields and (fields["value"], variable.val) != (None, None):
        text = masks.kept_variable(variable.key, text_of(fields["value"]), variable.val)
        # The same text encrypted anew would be another state, although nothing has changed.
        if text != variable.val or not variable.is_encrypted:
            variable.val = text
    for name in ("description", "team_name"):
        if name in fields:
            setattr(variable, name, fields[name])


def _entries(_: Session, variables: Sequence[Variable]) -> list[Entry]:
    return [entry(variable) for variable in variables]


NOUN = Noun(
    word="variable",
    model=Variable,
    column=Variable.key,
    name_field="key",
    entries=_entries,
    state=state,
    make=made,
    change=change,
    not_found=VariableNotFound,
    already_there=VariableExists,
    # The team stays that of the object, unless the body names one.
    defaults={"description": None},
    overwritten={"description": None},
    fixed=frozenset({"key"}),
)
_TABLE = Variable.__table__
_LIST = NamedList(
    noun=NOUN,
    field="variables",
    filters={
        "variable_key_pattern": listing.pattern(_TABLE.c.key),
        "variable_key_prefix_pattern": listing.prefix(_TABLE.c.key),
    },
    sorting=Sorting(
        columns={
            **{name: _TABLE.c[name] for name in ("key", "description", "is_encrypted", "team_name")},
            "_val": _TABLE.c.val,
        },
        primary_key=("id", _TABLE.c.id),
    ),
)


def get_variables(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the variables that the caller may read; raises `OrderNotAllowed`."""
    return named_object_list.page(_LIST, query=query, caller=caller)


def get_keys(*, caller: Caller) -> list[str]:
    """Return the keys of all variables that the caller may read."""
    return [key for (key,) in named_object_list.columns(NOUN, [Variable.key], caller)]


def get_variable(key: str) -> Stated:
    """Return a variable of the database; raises `VariableNotFound`."""
    return named_object.get(NOUN, key)


def post_variable(*, body: Fields) -> Stated:
    """Create a variable; raises `VariableExists`, and `MaskedValue` for a mask in place of a value."""
    return named_object.create(NOUN, body)


def patch_variable(
    key: str, *, body: Fields, mask: Sequence[str] | None, precondition: Precondition
) -> Stated:
    """Change the fields of a variable that body and mask name; raises what `named_object.patch` raises."""
    return named_object.patch(NOUN, key, body=body, mask=mask, precondition=precondition)


def put_variable(key: str, *, body: Fields, precondition: Precondition, caller: Caller) -> Stated:
    """Create a variable or replace it; raises what `named_object.put` raises, and `MaskedValue`."""
    return named_object.put(NOUN, key, body=body, precondition=precondition, caller=caller)


def delete_variable(key: str, *, precondition: Precondition) -> None:
    """Delete a variable; raises `VariableNotFound`, and `StateChanged` where the precondition does not hold."""
    named_object.delete(NOUN, key, precondition=precondition)


def bulk_variables(*, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Carry out the actions of the body in their order; raises `Denied` before the first when one is not allowed."""
    return named_object_bulk.carry_out(NOUN, actions=body["actions"], caller=caller)
