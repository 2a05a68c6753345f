"""A caller who may read some DAGs and not others, which the roles of SimpleAuthManager cannot express."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

READER = "op"


def restrict(monkeypatch: pytest.MonkeyPatch, dag_ids: Iterable[str]) -> None:
    """Let `READER` read and change only these DAGs, in both services of this process."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    allowed = set(dag_ids)
    everyone = SimpleAuthManager.is_authorized_dag

    def is_authorized_dag(self: Any, *, user: Any, details: Any = None, **asked: Any) -> bool:
        named = details is not None and details.id is not None
        if named and user.get_id() == READER and details.id not in allowed:
            return False
        return everyone(self, user=user, details=details, **asked)

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized_dag)
