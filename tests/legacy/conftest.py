"""Fixtures of the tests of legacy calls, and those of operations that they use as well."""

from __future__ import annotations

import pytest

from tests.handlers.conftest import (  # noqa: F401
    able,
    dag_id,
    denying,
    folder,
    life,
    only,
    restored_afterwards,
    root,
    without,
)
from tests.support.old_objects import DOOR, enveloped


@pytest.fixture
def said(old):
    """`said("variables", {...})`: what a call that was carried out printed, as (stdout, stderr)."""

    def ask(name, query=None, **more):
        output = enveloped(old(DOOR, name, query, **more), 200, "OK")["output"]
        assert output["stdin"] == ""
        return output["stdout"], output["stderr"]

    return ask


@pytest.fixture
def refused(old):
    """`refused("variables", {...}, role="viewer")`: the sentence of a call that was denied."""

    return lambda name, query=None, **more: enveloped(old(DOOR, name, query, **more), 403, "ERROR")["output"]
