"""Our own tables in Airflow's metadata database, and their Alembic history."""
