"""Task instances: their rows, logs and rendered fields, and what clears, skips, runs and changes them."""
