"""DAGs: their rows, filters and shape, what refreshes and what deletes them."""
