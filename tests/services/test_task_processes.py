"""What came of a task is found among real processes, and no other's is taken for it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from uuid import uuid4

import psutil
import pytest

from airflow_rest_api.services.kills import task_processes
from airflow_rest_api.services.kills.task_processes import Sight, Trace
from airflow_rest_api.supervision import processes
from airflow_rest_api.supervision.processes import Mark
from tests.support import task_process
from tests.support.task_process import COPIED, DETACHED, SLEEP, WITH_CHILD

pytestmark = pytest.mark.skipif(processes.place() is None, reason="there is no /proc")

# Other tests may run at the same time, and what has these variables is found wherever it comes from.
TASK = ("etl", f"manual__{uuid4()}", "load", "1")
VARIABLES = dict(
    zip(
        ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_TRY_NUMBER"),
        TASK,
        strict=True,
    )
)


@pytest.fixture
def task():
    """`task(code)`: a task of an id of its own that runs the code."""
    opened = []

    def start(code=SLEEP, **variables):
        instance_id = str(uuid4())
        manager = task_process.running(instance_id, code, **variables)
        opened.append(manager)
        started = manager.__enter__()
        started.instance_id = instance_id
        return started

    yield start
    for manager in opened:
        manager.__exit__(None, None, None)


def found(task, pid=None, *, is_mapped=False):
    return task_processes.find(
        Sight(), task.instance_id, task.pid if pid is None else pid, TASK, is_mapped=is_mapped
    )


def until(look, seconds=20):
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen


def started(task, number):
    """The processes that the task has started, once there are so many, and not one on its way to be another."""

    def came():
        return {one.pid for one in task_process.came_of(task.instance_id)} - {task.pid, task.supervisor.pid}

    def look():
        first = came()
        time.sleep(0.2)
        return sorted(first) if len(first) == number and came() == first else None

    return until(look)


class TestFind:
    def test_the_process_that_was_reported_is_recognised_by_its_title(self, task):
        one = task()
        trace = found(one)
        assert trace.follow(Sight()) == ([one.pid], [])
        assert trace.supervisor.pid == one.supervisor.pid
        assert trace.supervising(Sight()).mark == trace.supervisor

    def test_the_process_of_another_instance_proves_nothing(self, task):
        one, another = task(), task()
        another.supervisor.kill()
        another.supervisor.wait()
        psutil.Process(another.pid).kill()
        another.instance_id, other_id = str(uuid4()), another.instance_id
        assert found(another, one.pid) is None
        another.instance_id = other_id

    def test_a_number_that_nobody_has_proves_nothing(self, task):
        one = task()
        one.end()
        one.supervisor.kill()
        one.supervisor.wait()
        assert found(one) is None

    def test_nothing_is_proven_without_a_number(self, task):
        assert task_processes.find(Sight(), task().instance_id, None, TASK, is_mapped=False) is None

    def test_where_the_supervisor_alone_is_left_the_process_is_gone(self, task):
        one = task()
        one.end()
        assert found(one).follow(Sight()) == ([], [])

    def test_the_number_may_be_anothers_by_now(self, task):
        one, another = task(), task()
        one.end()
        assert found(one, another.pid).follow(Sight()) == ([], [])


class TestFollow:
    @pytest.mark.parametrize("code", [WITH_CHILD, DETACHED, COPIED], ids=["child", "detached", "copied"])
    @pytest.mark.parametrize("when", ["at the request", "later"])
    def test_what_a_task_has_started_lives_on_until_it_is_gone(self, task, code, when):
        one = task(code, **VARIABLES)
        if when == "at the request":
            children = started(one, 1)
            trace = found(one)
        else:
            trace = found(one)
            children = started(one, 1)
        one.end()
        assert trace.follow(Sight()) == (children, [])
        for pid in children:
            psutil.Process(pid).kill()
        until(lambda: trace.follow(Sight()) == ([], []))

    def test_without_the_variables_a_detached_one_is_found_by_its_session(self, task):
        one = task(
            "import subprocess, time; subprocess.Popen(['setsid', 'sh', '-c', 'sleep 300 & sleep 300; wait']);"
            + SLEEP
        )
        until(lambda: len(found(one).marks) == 4)
        trace = found(one)
        shell = next(mark.pid for mark in trace.marks if mark.pid in trace.sessions and mark.pid != one.pid)
        sleeps = [child.pid for child in psutil.Process(shell).children()]
        psutil.Process(shell).kill()
        one.end()
        late = Trace.of_json(trace.as_json())
        late.marks = {mark for mark in late.marks if mark.pid in (one.pid, shell)}
        assert late.follow(Sight())[0] == sorted(sleeps)

    def test_a_dead_process_that_nobody_buried_is_gone(self, task):
        one = task()
        trace = found(one)
        psutil.Process(one.pid).kill()
        until(lambda: psutil.Process(one.pid).status() == psutil.STATUS_ZOMBIE)
        assert trace.follow(Sight()) == ([], [])

    def test_a_stopped_process_is_not_gone(self, task):
        one = task()
        trace = found(one)
        os.kill(one.pid, signal.SIGSTOP)
        assert trace.follow(Sight()) == ([one.pid], [])

    def test_a_stopped_supervisor_is_seen_to_be(self, task):
        one = task()
        trace = found(one)
        one.supervisor.send_signal(signal.SIGSTOP)
        until(lambda: trace.supervising(Sight()).is_stopped)
        one.supervisor.kill()
        one.supervisor.wait()
        assert trace.supervising(Sight()) is None

    def test_who_got_the_number_later_is_not_taken_for_it(self, task):
        one = task()
        trace = found(one)
        # As if the kernel had given the numbers anew.
        trace.marks = {Mark(mark.pid, mark.began - 1) for mark in trace.marks}
        trace.instance_id = str(uuid4())
        assert trace.follow(Sight()) == ([], [])
        assert (trace.marks, trace.groups, trace.sessions) == (set(), set(), set())

    def test_it_can_be_written_down_for_another_process(self, task):
        one = task(WITH_CHILD)
        started(one, 1)
        trace = found(one)
        again = Trace.of_json(trace.as_json())
        assert again == trace
        assert again.follow(Sight()) == trace.follow(Sight())

    def test_what_a_mapped_task_left_behind_may_be_anothers(self, task):
        one = task(DETACHED, **VARIABLES)
        children = started(one, 1)
        one.end()
        trace = found(one, is_mapped=True)
        assert trace.follow(Sight()) == ([], children)

    def test_what_another_instance_of_a_mapped_task_has_is_not_taken_for_it(self, task):
        one, another = task(SLEEP, **VARIABLES), task(WITH_CHILD, **VARIABLES)
        started(another, 1)
        trace = found(one, is_mapped=True)
        one.end()
        assert trace.follow(Sight()) == ([], [])

    def test_airflow_itself_is_not_taken_for_the_task(self, task):
        trace = found(task(WITH_CHILD))
        assert os.getpid() not in {mark.pid for mark in trace.marks}
        assert os.getsid(0) not in trace.sessions
        assert os.getpgid(0) not in trace.groups


class TestProcesses:
    def test_two_processes_of_one_namespace_are_in_one_place(self):
        program = "from airflow_rest_api.supervision import processes; print(processes.place())"
        told = subprocess.run(
            [task_process.sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == processes.place()

    def test_one_of_another_namespace_has_a_second_number(self):
        other = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "300"]
        if subprocess.run([*other[:-2], "true"], check=False, capture_output=True).returncode:
            pytest.skip("namespaces are refused here")
        outside = subprocess.Popen(other)
        try:
            (inside,) = until(lambda: psutil.Process(outside.pid).children())
            assert processes.is_of_our_namespace(outside.pid)
            assert not processes.is_of_our_namespace(inside.pid)
        finally:
            outside.kill()
            outside.wait()

    def test_nothing_is_told_of_a_process_that_is_not_there(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        assert processes.look(gone.pid) is None
        assert processes.title(gone.pid) == ""
        assert processes.variables(gone.pid, ["PATH"]) == {}
        assert not processes.is_of_our_namespace(gone.pid)
        assert not processes.is_hidden(gone.pid)
        assert not processes.is_group_hidden(gone.pid)

    def test_no_other_variables_are_told(self):
        assert processes.variables(os.getpid(), ["NO_SUCH_VARIABLE"]) == {}
