"""Who is calling, as far as a service needs to know."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from airflow.models.dag import DagModel
from sqlalchemy import select
from sqlalchemy.sql import ColumnElement

# A column of the table: one of the entity would turn each statement that it is put in into a slower, mapped one.
_EVERY_DAG_ID = select(DagModel.__table__.c.dag_id)


@dataclass(frozen=True)
class DagScope:
    """The DAGs that a caller may touch: ``dag_ids``, which are all there are when ``everything`` is true."""

    dag_ids: AbstractSet[str]
    everything: bool

    def restrict(self, column: Any) -> list[ColumnElement[bool]]:
        """Return the conditions that keep ``column`` (a DAG id) within the scope.

        For a caller who may touch everything it is a constant subquery: a list of ids that grows with the
        installation would be compiled, sent and planned anew at each request.
        """
        if self.everything:
            return [column.in_(_EVERY_DAG_ID)]
        return [column.in_(sorted(self.dag_ids))]


@dataclass(frozen=True)
class NamedScope:
    """The variables, connections or pools that a caller may touch: ``names``, or all when ``everything`` is true."""

    names: AbstractSet[str]
    everything: bool

    def restrict(self, column: Any) -> list[ColumnElement[bool]]:
        """Return the conditions that keep ``column`` (a name) within the scope."""
        return [] if self.everything else [column.in_(sorted(self.names))]


class Permissions(Protocol):
    """What the caller may do: Airflow's auth manager, asked in one place (`security/access.py`)."""

    def dag_scope(self, method: str) -> DagScope:
        """Return the DAGs on which the caller may use ``method`` (GET, PUT, DELETE)."""

    def require_dag(self, dag_id: str | None, method: str, access_entity: str | None = None) -> None:
        """Raise `Denied` unless the caller may use ``method`` on this part of the DAG; None is no DAG in particular."""

    def may_dag(self, dag_id: str | None, method: str, access_entity: str | None = None) -> bool:
        """Tell whether the caller may use ``method`` on this part of the DAG; None is no DAG in particular."""

    def require_view(self, view: str) -> None:
        """Raise `Denied` unless the caller may see this view of Airflow's."""

    def may_view(self, view: str) -> bool:
        """Tell whether the caller may see this view of Airflow's."""

    def named_scope(self, resource: str, method: str) -> NamedScope:
        """Return the objects of a kind (`variable`, `connection`, `pool`) on which the caller may use ``method``."""

    def may_named(self, resource: str, object_id: str | None, method: str, team: str | None = None) -> bool:
        """Tell whether the caller may use ``method`` on a variable, connection or pool; None is none in particular."""

    def require_named(
        self, resource: str, object_id: str | None, method: str, team: str | None = None
    ) -> None:
        """Raise `Denied` unless the caller may use ``method`` on a variable, connection or pool.

        ``team`` is the one that a body names.
        """

    def require_switch(self, name: str) -> None:
        """Raise `Denied` unless the setting ``name`` allows the operation here, whoever asks."""

    def require_power(self, power: str) -> None:
        """Raise `Denied` unless an administrator has granted the caller this power."""

    def may_power(self, power: str) -> bool:
        """Tell whether an administrator has granted the caller this power."""


@dataclass(frozen=True)
class Credential:
    """By what a caller is known: an `access_token` of this service, an `airflow_token`, or a `header_token`.

    ``fingerprint`` tells two tokens apart in the audit and reveals neither; ``name`` is a header token's. Of an
    access token, ``token_id`` and ``family_id`` are what ends with it.
    """

    kind: str
    fingerprint: str
    token: str = field(repr=False)
    name: str | None = None
    expires_at: datetime | None = None
    token_id: str | None = None
    family_id: str | None = None


@dataclass(frozen=True)
class Caller:
    """An authenticated user of Airflow: ``id`` and ``name`` as the auth manager gives them."""

    id: str
    name: str
    permissions: Permissions = field(repr=False)
    user: Any = field(repr=False)
    credential: Credential | None = None
