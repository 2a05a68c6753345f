"""Pools: their rows, the slots that are taken, and what may be changed."""
