"""Runs that fail, sleep, map and tear down, for what is done to single tasks of them."""

from __future__ import annotations

import time

from airflow.sdk import dag, get_current_context, setup, task, teardown

NONE_FAILED = "none_failed"


@dag(schedule=None)
def breaks():
    """One branch that fails at its first try, and one that does not."""

    @task
    def good():
        """Succeed."""

    @task
    def broken():
        if get_current_context()["ti"].try_number == 1:
            raise ValueError("the first try fails")

    @task
    def after():
        """Run where what comes before has succeeded."""

    @task(trigger_rule=NONE_FAILED)
    def tolerant():
        """Run where what comes before has not failed."""

    good()
    broken() >> [after(), tolerant()]


@dag(schedule=None)
def sleeps():
    """A task that takes too long, and others that wait for it."""

    @task
    def sleeper():
        time.sleep(600)

    @task
    def after():
        """Run where what comes before has succeeded."""

    @task(trigger_rule=NONE_FAILED)
    def tolerant():
        """Run where what comes before has not failed."""

    sleeper() >> [after(), tolerant()]


@dag(schedule=None)
def maps():
    """A mapped task that waits to be expanded."""

    @task
    def numbers():
        time.sleep(4)
        return [1, 2]

    @task
    def double(number):
        return 2 * number

    @task
    def total(values):
        return sum(values)

    total(double.expand(number=numbers()))


@dag(schedule=None)
def tears_down():
    """Something that is set up, used for too long, and torn down."""

    @setup
    def build():
        """Succeed."""

    @task
    def use():
        time.sleep(600)

    @task
    def report():
        """Run where what comes before has succeeded."""

    @teardown
    def clean():
        """Succeed."""

    built, cleaned = build(), clean()
    built >> use() >> report() >> cleaned
    built >> cleaned


breaks()
sleeps()
maps()
tears_down()
