"""Runs: how they are made, listed, changed, restarted and limited to some of their tasks."""
