"""The embedded Airflow of `scripts/serve`: a home folder, its settings, its supervised processes."""
