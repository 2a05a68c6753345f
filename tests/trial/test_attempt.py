"""Attempts: how a trial ends, and that none of its processes is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from uuid import uuid4

import pytest

from airflow_rest_api.trial import attempt

ORDER = {"what": "test", "dag_id": "etl", "task_id": "start", "map_index": -1, "dag_run_id": None}
# It leaves a process behind that has left its parent and its group, and waits.
DETACHING = "import subprocess, time; subprocess.Popen(['setsid', '-f', 'sleep', '300']); time.sleep(300)"


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_process_with_a_mark_is_found_and_killed():
    mark = uuid4().hex
    marked = {**os.environ, attempt.MARK: mark}
    with subprocess.Popen([sys.executable, "-c", DETACHING], env=marked) as process:
        until(lambda: len(list(attempt.marked(mark))) >= 2)
        assert process.pid in attempt.marked(mark)
        attempt.kill_marked(mark)
    assert list(attempt.marked(mark)) == []


def test_a_mark_of_another_trial_is_left_alone():
    with subprocess.Popen(["sleep", "300"], env={**os.environ, attempt.MARK: "another"}) as process:
        attempt.kill_marked("ano")
        assert process.poll() is None
        process.kill()


class TestLines:
    @pytest.fixture
    def lines(self):
        """`lines(b"…")`: what the service reads of a warden that writes these pieces."""

        def read(*pieces):
            program = "import sys, time\nfor piece in sys.argv[1:]:\n    print(end=piece, flush=True); time.sleep(0.1)"
            command = [sys.executable, "-c", program, *pieces]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                found = list(attempt._lines(process, time.monotonic() + 30))
            return [line for line in found if line is not None]

        return read

    def test_a_line_may_come_in_pieces(self, lines):
        assert lines('{"out', 'put": "a"}\n{"bytes"', ": 1}\n") == [{"output": "a"}, {"bytes": 1}]

    def test_a_line_that_is_cut_off_is_left_out(self, lines):
        assert lines('{"bytes": 1}\n{"rea') == [{"bytes": 1}]


@pytest.mark.slow
class TestCarryOut:
    def test_a_child_that_fails_has_no_verdict(self):
        seen = []
        ending = attempt.carry_out({**ORDER, "dag_id": "no_such_dag"}, seconds=60, heed=seen.append)
        assert (ending.reason, ending.verdict) == ("done", None)
        assert ending.code != 0
        assert "NoResultFound" in ending.said
        assert isinstance(seen[-1], attempt.Progress)

    def test_what_the_caller_raises_ends_it(self):
        class Cancelled(Exception):
            pass

        def cancel(_):
            raise Cancelled

        before = set(attempt._GOING)
        with pytest.raises(Cancelled):
            attempt.carry_out(ORDER, seconds=60, heed=cancel)
        assert before == attempt._GOING

    def test_the_end_of_this_process_interrupts_it(self, monkeypatch):
        ending = threading.Event()
        ending.set()
        monkeypatch.setattr(attempt, "_ENDING", ending)
        with pytest.raises(attempt.Interrupted):
            attempt.carry_out(ORDER, seconds=60, heed=lambda _: None)

    def test_an_order_that_is_no_longer_wanted_is_ended_by_the_warden(self):
        with attempt._warden({**ORDER, "seconds": 60}) as process:
            process.stdin.close()
            output = process.stdout.read()
            assert process.wait(60) == 0
        assert json.loads(output.splitlines()[-1])["reason"] == "unwanted"
