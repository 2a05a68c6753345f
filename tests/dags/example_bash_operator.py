"""The DAG that the contract's examples speak of: a daily one with tags, parameters and a branch."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG(
    dag_id="example_bash_operator",
    schedule="0 0 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    dagrun_timeout=timedelta(minutes=60),
    tags=["example", "shell"],
    params={"example_key": "example_value"},
    doc_md="Three *parallel* shell commands.",
) as dag:
    run_this = BashOperator(task_id="run_after_loop", bash_command="echo {{ run_id }}")
    for number in range(3):
        command = 'echo "{{ task_instance_key_str }}"'
        BashOperator(task_id=f"runme_{number}", bash_command=command, retries=1) >> run_this
    also_run_this = BashOperator(task_id="also_run_this", bash_command="echo {{ params.example_key }}")
    this_will_skip = BashOperator(task_id="this_will_skip", bash_command="exit 99")
    run_this >> EmptyOperator(task_id="run_this_last")
    [also_run_this, this_will_skip] >> dag.get_task("run_this_last")
