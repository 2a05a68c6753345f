"""The work: what each operation does with Airflow's models. No HTTP in here."""
