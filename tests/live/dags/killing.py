"""Tasks that wait to be killed, each in its own way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

LONG = 300
RETRIES = {"retries": 2, "retry_delay": timedelta(0)}


@dag(schedule=None, default_args=RETRIES)
def killing():
    BashOperator(task_id="with_child", bash_command=f"sleep {LONG} & sleep {LONG}; wait")

    @task
    def python():
        time.sleep(LONG)

    @task
    def stubborn():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)

    @task
    def never():
        time.sleep(LONG)

    python() >> never()
    stubborn()


@dag(schedule=None, default_args=RETRIES)
def surviving():
    # A session of its own, and no parent any more: only its variables tell where it comes from.
    BashOperator(
        task_id="detached",
        bash_command=f"setsid -f sh -c 'trap \"\" TERM; exec sleep {LONG}'; sleep {LONG}",
    )

    @task
    def forked():
        # A copy of the task's process that has left its group and its parent.
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(LONG)
            os._exit(0)
        time.sleep(LONG)

    forked()


@dag(schedule=None, default_args=RETRIES)
def mapped_killing():
    @task
    def wait(number):
        child = [sys.executable, "-c", f"import time; time.sleep({LONG})"]
        subprocess.run(child, check=False)

    wait.expand(number=[0, 1])


@dag(schedule=None)
def torn_down():
    @task
    def build():
        return None

    @task
    def use():
        time.sleep(LONG)

    @task
    def remove():
        return None

    built = build().as_setup()
    built >> use() >> remove().as_teardown(setups=built)


killing()
surviving()
mapped_killing()
torn_down()
