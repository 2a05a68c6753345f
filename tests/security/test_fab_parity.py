"""The shared calls of every noun are answered as by `/api/v2` also where Flask-AppBuilder is the auth manager."""

from __future__ import annotations

import pkgutil

import pytest

from tests.support import shared_calls_of, under_manager

pytestmark = pytest.mark.slow

NOUNS = sorted(module.name for module in pkgutil.iter_modules(shared_calls_of.__path__))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    home = tmp_path_factory.mktemp("fab-parity")
    return under_manager.told(home, "fab", "tests.security.fab_parity", *NOUNS, seconds=300)


@pytest.mark.parametrize("role", ["Admin", "Keeper"])
@pytest.mark.parametrize("noun", NOUNS)
def test_every_answer_and_every_refusal_is_airflows(found, noun, role):
    assert found["calls"][noun] > 20
    assert found[f"{noun} {role}"] == ""


def test_a_right_that_is_not_asked_for_is_seen(found):
    assert "status" in found["broken"]
