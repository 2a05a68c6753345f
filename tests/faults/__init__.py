"""Faults and attacks at full size: each module is a target of `scripts/faults`, and runs small in the test suite.

A target is a module with a function `run(full: bool) -> dict[str, object]`, which returns the figures to print and
raises an AssertionError where what is promised does not hold. It finds a prepared Airflow around it.
"""
