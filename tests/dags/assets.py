"""An asset that one DAG makes and another waits for."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

orders = Asset(name="orders", uri="s3://warehouse/orders", group="warehouse")
customers = Asset(name="customers", uri="s3://warehouse/customers")

with DAG(dag_id="makes_assets", schedule="@hourly", tags=["assets"], catchup=False):
    EmptyOperator(task_id="make", outlets=[orders, customers])

with DAG(dag_id="waits_for_assets", schedule=(orders & customers), tags=["assets"], catchup=False):
    EmptyOperator(task_id="use")
