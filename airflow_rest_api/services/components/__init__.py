"""Components: which of Airflow's own processes there are, how they are started here, and what is told of them."""
