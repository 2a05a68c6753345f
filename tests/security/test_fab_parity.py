"""The shared calls of every noun are answered as by `/api/v2` also where Flask-AppBuilder is the auth manager."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

from tests.support import environment, shared_calls_of, template

NOUNS = sorted(module.name for module in pkgutil.iter_modules(shared_calls_of.__path__))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    home = tmp_path_factory.mktemp("fab-parity")
    variables = environment.prepare(home)
    template.copy_to(home)
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    variables |= {"AIRFLOW__CORE__AUTH_MANAGER": manager, "PYTHONPATH": str(environment.ROOT)}
    variables |= {"AIRFLOW__FAB__UPDATE_FAB_PERMS": "True"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.security.fab_parity", *NOUNS],
        env=environment.without_coverage(environment.inherited()) | variables,
        cwd=environment.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    # Airflow logs to the same place, and may do so to the last moment.
    (told,) = (line for line in result.stdout.splitlines() if line.startswith('{"calls": '))
    return json.loads(told)


@pytest.mark.parametrize("role", ["Admin", "Keeper"])
@pytest.mark.parametrize("noun", NOUNS)
def test_every_answer_and_every_refusal_is_airflows(found, noun, role):
    assert found["calls"][noun] > 20
    assert found[f"{noun} {role}"] == ""


def test_a_right_that_is_not_asked_for_is_seen(found):
    assert "status" in found["broken"]
