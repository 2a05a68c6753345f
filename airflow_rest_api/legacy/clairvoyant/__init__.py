"""The calls that Clairvoyant's plugin answered with what a command of Airflow 1 printed, or with a text."""
