"""The benchmark behind `scripts/bench`: this service and Airflow's own REST API on one database."""
