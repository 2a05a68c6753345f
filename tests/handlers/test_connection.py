"""Connection: `openapi/paths/connection.yaml`, the shared part against Airflow's `/api/v2`."""

from __future__ import annotations

import pytest

from tests.support.bulk import without_sentences
from tests.support.shared_calls import assert_alike
from tests.support.shared_calls_of import connection as table

pytestmark = pytest.mark.usefixtures("restored_database")


class TestParity:
    @pytest.mark.parametrize("part", ["READ"])
    def test_x(self, rest, v2, part):
        assert_alike(table.CALLS, rest, v2)
