"""Variables, connections and pools as they are stored, decrypted by Airflow's own models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select

CONNECTION_FIELDS = (
    *("conn_type", "description", "host", "login", "password", "schema", "port", "extra"),
    *("is_encrypted", "is_extra_encrypted"),
)


def stored() -> dict[str, dict[str, Any]]:
    """All of the three kinds by name; an empty description of a variable is none, as for the CLI."""
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        variables = {
            one.key: [one.val, one.description or None, one.is_encrypted]
            for one in session.scalars(select(Variable))
        }
        connections = {
            one.conn_id: {field: getattr(one, field) for field in CONNECTION_FIELDS}
            for one in session.scalars(select(Connection))
        }
        pools = {
            one.pool: [one.slots, one.description, one.include_deferred]
            for one in session.scalars(select(Pool))
        }
    return {"variables": variables, "connections": connections, "pools": pools}


def wipe() -> None:
    """Delete all of the three kinds but the default pool, which cannot be."""
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        session.execute(delete(Variable))
        session.execute(delete(Connection))
        session.execute(delete(Pool).where(Pool.pool != "default_pool"))


def fill(
    variables: Mapping[str, Any] | None = None,
    connections: Mapping[str, Any] | None = None,
    pools: Mapping[str, Any] | None = None,
) -> None:
    """Put these, and nothing else, into the database."""
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    wipe()
    with create_session(scoped=False) as session:
        session.add_all(Variable(key, *value) for key, value in (variables or {}).items())
        session.add_all(Connection(conn_id=name, **fields) for name, fields in (connections or {}).items())
        for name, (slots, description, deferred) in (pools or {}).items():
            session.add(Pool(pool=name, slots=slots, description=description, include_deferred=deferred))
