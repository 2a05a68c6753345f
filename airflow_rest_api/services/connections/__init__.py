"""Connections: how Airflow stores them, and what callers may send and see of them."""
