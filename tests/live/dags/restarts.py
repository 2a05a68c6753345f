"""Two branches and one instance of a mapped task that fail at their first try, beside what succeeds at once."""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task


def fail_at_first():
    if get_current_context()["ti"].try_number == 1:
        raise ValueError("the first try fails")


@dag(schedule=None)
def restarts():  # noqa: C901
    @task
    def good():
        """Succeed."""

    @task
    def after_good():
        """Succeed."""

    @task
    def left():
        fail_at_first()

    @task
    def after_left():
        """Succeed."""

    @task
    def right():
        fail_at_first()

    @task
    def after_right():
        """Succeed."""

    @task
    def numbers():
        return [0, 1, 2]

    @task
    def work(number):
        if number == 1:
            fail_at_first()
        return number

    @task
    def total(values):
        assert sorted(values) == [0, 1, 2]

    good() >> after_good()
    left() >> after_left()
    right() >> after_right()
    total(work.expand(number=numbers()))


restarts()
