"""What tasks may do when they are tested: end well and badly, go on too long, leave processes behind, tell secrets."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import (
    DAG,
    Asset,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    Variable,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException


class Waits(BaseOperator):
    def execute(self, context):
        self.defer(
            trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="goes_on", kwargs={"word": "kept"}
        )

    def goes_on(self, context, event, word):
        print("resumed", word, "at", event)


class Never(BaseSensorOperator):
    def poke(self, context):
        return False


OPTIONS = {"schedule": None, "params": {"limit": 1, "mark": "0"}, "default_args": {"retries": 0}}

# What may run for real as well.
with DAG("trials", **OPTIONS):

    @task
    def succeed():
        print("limit is", get_current_context()["params"]["limit"])
        return "done"

    @task(outlets=[Asset("trials-outlet")])
    def touch():
        return "touched"

    @task
    def upstream():
        return {"answer": 42}

    @task
    def downstream(found):
        context = get_current_context()
        print(
            "found", found, "on", context.get("ds"), "in", context["run_id"], "with", context["dag_run"].conf
        )
        context["ti"].xcom_push("note", "mine")
        print("own note is", context["ti"].xcom_pull(task_ids="downstream", key="note"))

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def double(number):
        print("twice is", number * 2)

    @task
    def treble(number):
        print("thrice is", number * 3)

    succeed(), touch()
    downstream(upstream())
    double.expand(number=numbers())
    treble.expand(number=[1, 2])

# What is only ever tested.
with DAG("trials_rough", **OPTIONS):

    @task
    def fail():
        raise ValueError("it failed on purpose")

    @task(retries=2, retry_delay=timedelta(seconds=1))
    def try_again():
        raise ValueError("another time perhaps")

    @task
    def skip():
        raise AirflowSkipException("nothing to do")

    @task
    def end_itself():
        os._exit(0)

    @task
    def crash():
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def ignore():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", get_current_context()["params"]["mark"]], start_new_session=True)
        while True:
            time.sleep(0.1)

    @task
    def leave():
        subprocess.Popen(["sleep", get_current_context()["params"]["mark"]], start_new_session=True)

    @task
    def flood():
        for number in range(20_000):
            print(number, "x" * 100)
        print("the end")

    @task
    def flood_on():
        while True:
            sys.stdout.write(f"{'x' * 2000}\n" * 100)

    @task
    def tell():
        connection = BaseHook.get_connection("trials_secret")
        variable = Variable.get("trials_api_key")
        for secret in (connection.password, connection.extra_dejson["private_key"], variable):
            print("printed", secret)
            os.write(1, f"written {secret}\n".encode())
            subprocess.run(["echo", "said", secret], check=True)
            print("coded", base64.b64encode(secret.encode()).decode())
        raise ValueError(f"refused for {connection.password}")

    fail(), try_again(), skip(), end_itself(), crash()
    ignore(), leave(), flood(), flood_on(), tell()
    BashOperator(
        task_id="sleep", bash_command="echo begun; sleep {{ params.mark }} & setsid sleep {{ params.mark }}"
    )
    Waits(task_id="wait")
    Never(task_id="sense", mode="reschedule", poke_interval=60, timeout=600)

# What is only ever rendered.
with DAG("trials_rendered", **OPTIONS):
    BashOperator(
        task_id="secret",
        bash_command="echo {{ params.limit }} {{ ds }} {{ conn.trials_secret.password }}",
        run_as_user="nobody",
    )
    BashOperator(task_id="broken", bash_command="echo {{ nothing.of.the_kind }}")
    BashOperator.partial(task_id="mapped").expand(bash_command=["echo {{ ds }}", "echo {{ run_id }}"])
    BashOperator(task_id="slow", bash_command="{{ macros.time.sleep(4) }}")

    @task
    def words():
        return ["one", "two"]

    BashOperator.partial(task_id="fed").expand(bash_command=words())
