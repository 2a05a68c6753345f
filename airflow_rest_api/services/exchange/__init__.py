"""Export and import: variables, connections and pools as the files that the Airflow CLI writes and reads."""
