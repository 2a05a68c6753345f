"""Why a task instance or a run does not run, in the words of Airflow's scheduler."""
