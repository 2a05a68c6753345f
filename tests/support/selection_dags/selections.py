"""DAGs that some tasks are selected of: a chain, every trigger rule, mapped tasks, setups, results, the past."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task, task_group
from airflow.task.trigger_rule import TriggerRule


def command(task_id: str, **options) -> BashOperator:
    return BashOperator(task_id=task_id, bash_command="true", **options)


with DAG("chain", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
    a, b, c, d, e, f = (command(name) for name in "abcdef")
    a >> [b, c] >> d >> e
    f >> e

for rule in TriggerRule:
    with DAG(f"rule_{rule.value}", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
        [command("a"), command("b")] >> command("t", trigger_rule=rule.value) >> command("z")

with DAG("feeding", schedule=None, is_paused_upon_creation=False, max_active_runs=100):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def double(number, further=None):
        return number * 2

    @task
    def tell(word):
        return word

    @task_group
    def each(number):
        @task
        def inside(value):
            return value

        @task
        def after(value):
            return value

        after(inside(number))

    doubled = double.partial(further=tell.override(task_id="told")("x")).expand(number=numbers())
    tell.expand(word=["one", "two"])
    each.expand(number=doubled)

with DAG("surrounded", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
    up, work, other = command("up"), command("work"), command("other")
    down = command("down").as_teardown(setups=up.as_setup())
    up >> work >> down
    command("first") >> up
    work >> other

with DAG(
    "past",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=100,
):
    command("plain") >> command("careful", depends_on_past=True)

with DAG("reading", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
    command("one") >> command("two")
    BashOperator(
        task_id="reader",
        bash_command="echo {{ ti.xcom_pull('one') }} {{ ti.xcom_pull(key='k', task_ids=['one', \"two\"]) }}",
        env={"X": "{{ ti.xcom_pull(key='own') }} {{ ti.xcom_pull(task_ids='elsewhere') }}"},
    )

with DAG("branching", schedule=None, is_paused_upon_creation=False, max_active_runs=100):

    @task.branch
    def choose():
        return "right"

    choose() >> [command("left"), command("right")]

with DAG("grouped", schedule=None, is_paused_upon_creation=False, max_active_runs=100):

    @task_group
    def every(number):
        command("early") >> command("late")

    every.expand(number=numbers.override(task_id="source")())

with DAG("early", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
    fed = double.override(task_id="fed", trigger_rule="one_success").expand(
        number=numbers.override(task_id="source")()
    )
    command("beside") >> fed
