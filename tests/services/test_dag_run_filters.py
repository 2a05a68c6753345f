"""What cannot be seen on the databases that the tests have."""

from __future__ import annotations


def test_on_mysql_a_duration_is_counted_in_whole_seconds_by_the_database():
    from airflow_rest_api.services.runs.dag_run_filters import sorting

    (key, _) = sorting("mysql").keys(["duration"])
    assert str(key.column) == "timestampdiff(SECOND, dag_run.start_date, dag_run.end_date)"
