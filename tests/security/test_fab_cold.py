"""Flask-AppBuilder in a process of the service's own: the first login, and logins while the database is away."""

from __future__ import annotations

import pytest

from tests.support import under_manager

pytestmark = pytest.mark.slow

UNAVAILABLE = [503, "problem+json", "2"]
OLD_UNAVAILABLE = [503, "json", "2"]
GOOD = [200, "json", None]
# The user has no role.
DENIED = [403, "problem+json", None]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return under_manager.told(tmp_path_factory.mktemp("fab"), "fab", "tests.security.fab_cold")


def test_the_first_login_succeeds(found):
    assert found["cold"] == [GOOD, GOOD]


def test_the_first_login_may_come_while_the_database_is_away(found):
    assert found["cold, away"] == [UNAVAILABLE, OLD_UNAVAILABLE]


def test_every_call_is_unavailable_while_the_database_is_away(found):
    assert found["away"] == [UNAVAILABLE, OLD_UNAVAILABLE, *[UNAVAILABLE] * 4]


def test_all_is_well_when_the_database_is_back(found):
    assert found["again"] == [GOOD, GOOD, DENIED, GOOD]
