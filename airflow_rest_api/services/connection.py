"""Connections: where and as whom tasks log in, as far as Airflow's database has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.models.connection import Connection
from sqlalchemy import select

from airflow_rest_api.services import errors, masks
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.connections import connection_fields
from airflow_rest_api.services.connections.stored_connection import NotDecryptable, StoredConnection
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.services.named import named_object, named_object_bulk, named_object_list
from airflow_rest_api.services.named.named_object import Noun
from airflow_rest_api.services.named.named_object_list import NamedList
from airflow_rest_api.services.states import Precondition, Stated

Entry = dict[str, Any]


class ConnectionNotFound(errors.NotFound):
    """Airflow's database has no such connection."""

    title = "Connection not found"

    def __init__(self, connection_id: str) -> None:
        super().__init__(
            f"The connection '{connection_id}' was not found in Airflow's database.",
            connection_id=connection_id,
        )


class ConnectionAlreadyExists(errors.AlreadyExists):
    """There is a connection with this id."""

    title = "Connection already exists"

    def __init__(self, connection_id: str) -> None:
        super().__init__(
            f"A connection '{connection_id}' exists already; PUT replaces it.", connection_id=connection_id
        )


class ConnectionNotDecryptable(errors.Conflict):
    """A secret of the connection was stored under another Fernet key."""

    title = "The connection cannot be decrypted"

    def __init__(self, connection_id: str) -> None:
        super().__init__(
            f"The connection '{connection_id}' was stored under a Fernet key that Airflow's configuration"
            " (`[core] fernet_key`) does not have: bring the key back, or store the secrets anew.",
            connection_id=connection_id,
        )


_NOUN = Noun(
    word="connection",
    model=StoredConnection,
    column=StoredConnection.conn_id,
    name_field="connection_id",
    entries=connection_fields.entries,
    state=lambda row: row.state,
    make=connection_fields.made,
    change=connection_fields.change,
    not_found=ConnectionNotFound,
    already_there=ConnectionAlreadyExists,
    # The team stays that of the object, unless the body names one.
    defaults=dict.fromkeys(("description", "host", "login", "schema", "port", "password", "extra")),
)
_LIST = NamedList(
    noun=_NOUN,
    field="connections",
    filters={
        "connection_id_pattern": listing.pattern(StoredConnection.conn_id),
        "connection_id_prefix_pattern": listing.prefix(StoredConnection.conn_id),
    },
    sorting=ordering.Sorting(
        columns={
            "connection_id": StoredConnection.conn_id,
            **{
                name: getattr(StoredConnection, name)
                for name in ("conn_id", "conn_type", "description", "host", "port", "id", "team_name")
            },
        },
        primary_key=("id", StoredConnection.id),
    ),
)


def get_connections(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the connections that the caller may read."""
    return named_object_list.page(_LIST, query=query, caller=caller)


def get_table(*, caller: Caller) -> list[Entry]:
    """Return all connections that the caller may read, with which of their secrets are encrypted."""
    with reading() as session:
        rows = session.scalars(named_object_list.readable(_NOUN, [StoredConnection], caller)).all()
        entries = connection_fields.entries(session, rows)
        return [
            {**entry, "is_encrypted": row.is_encrypted, "is_extra_encrypted": row.is_extra_encrypted}
            for entry, row in zip(entries, rows, strict=True)
        ]


def get_connection(connection_id: str) -> Stated:
    """Return a connection, its secrets masked; raises `ConnectionNotFound`."""
    return named_object.get(_NOUN, connection_id)


def post_connection(*, body: Mapping[str, Any]) -> Stated:
    """Create a connection; raises `ConnectionAlreadyExists`, and what `connection_fields.made` raises."""
    connection_fields.require_sound(body)
    return named_object.create(_NOUN, body)


def patch_connection(
    connection_id: str, *, body: Mapping[str, Any], mask: Sequence[str] | None, precondition: Precondition
) -> Stated:
    """Change the fields that are sent, of these the ones that the mask names; raises `ConnectionNotFound`.

    As in Airflow (`update_orm_from_pydantic`), null and an empty text are no password to change to, and an extra that
    the mask names and the body does not have is emptied.
    """
    connection_fields.require_sound(body)
    wish = _without_idle_password(body)
    if mask and "extra" in mask:
        wish = {"extra": None, **wish}
    return named_object.patch(_NOUN, connection_id, body=wish, mask=mask, precondition=precondition)


def put_connection(
    connection_id: str, *, body: Mapping[str, Any], precondition: Precondition, caller: Caller
) -> Stated:
    """Create a connection, or replace the one of this id; what the body leaves out becomes null, but for the team."""
    # An id that is in the body has to be the path's, which may be one that only older versions of Airflow allowed.
    # An extra that is not JSON or cannot be decrypted is shown as a mask.
    shown = ("extra", masks.MASK)
    connection_fields.require_sound(
        {name: value for name, value in body.items() if name != "connection_id" and (name, value) != shown}
    )
    return named_object.put(_NOUN, connection_id, body=body, precondition=precondition, caller=caller)


def delete_connection(connection_id: str, *, precondition: Precondition) -> None:
    """Delete a connection; raises `ConnectionNotFound`."""
    named_object.delete(_NOUN, connection_id, precondition=precondition)


def bulk_connections(*, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Carry out the actions of the body in their order; raises `Denied` before the first when one is not allowed."""
    actions = [
        {**action, "entities": [_wish(entity) for entity in action["entities"]]} for action in body["actions"]
    ]
    return named_object_bulk.carry_out(_NOUN, actions=actions, caller=caller)


def reveal_connection(connection_id: str) -> Entry:
    """Return a connection in clear; raises `ConnectionNotFound` and `ConnectionNotDecryptable`."""
    with reading() as session:
        row = session.scalar(select(StoredConnection).where(StoredConnection.conn_id == connection_id))
    if row is None:
        raise ConnectionNotFound(connection_id)
    try:
        clear = connection_fields.entry(row, password=row.password, extra=row.extra)
    except NotDecryptable:
        raise ConnectionNotDecryptable(connection_id) from None
    return {**clear, "uri": _uri(clear)}


def _uri(clear: Entry) -> str | None:
    """Return the connection in one line, None where its extra is none that Airflow could read."""
    fields = {name: value for name, value in clear.items() if name not in ("connection_id", "team_name")}
    try:
        return Connection(**fields).get_uri()
    except ValueError:
        return None


def _without_idle_password(body: Mapping[str, Any]) -> Entry:
    return {name: value for name, value in body.items() if name != "password" or value}


def _wish(entity: str | Mapping[str, Any]) -> str | Entry:
    if isinstance(entity, str):
        return entity
    connection_fields.require_sound(entity)
    return _without_idle_password(entity)
