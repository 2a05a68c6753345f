"""What runs in the child of a trial: Airflow's own supervisor of tasks, before a server that remembers nothing."""
