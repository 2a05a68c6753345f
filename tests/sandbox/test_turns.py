"""How many calls may wait for the sandbox: each of them holds a thread of the service."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_rest_api.sandbox.box import Sandbox, SandboxBusy
from tests.sandbox.conftest import BRIEF_SECONDS, written


@pytest.fixture
def one_place():
    box = Sandbox(seconds=BRIEF_SECONDS, places=1)
    box.start()
    yield box
    box.stop()


def test_who_finds_no_place_is_told_at_once(one_place, tmp_path):
    endless = written(tmp_path / "endless", {"dag.py": "# airflow dag\nwhile True: pass\n"})
    good = written(tmp_path / "good", {"dag.py": "# airflow dag\n"})
    first = threading.Thread(target=one_place.validate, args=(endless,), kwargs={"bundle_name": "drafts"})
    first.start()
    time.sleep(BRIEF_SECONDS / 5)
    begin = time.monotonic()
    with pytest.raises(SandboxBusy):
        one_place.validate(good, bundle_name="drafts")
    assert time.monotonic() - begin < BRIEF_SECONDS / 5
    first.join()
    assert one_place.validate(good, bundle_name="drafts").errors == ()
