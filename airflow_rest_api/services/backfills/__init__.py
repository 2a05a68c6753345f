"""Backfills: what they are told by, how they are made, and what stands in their way."""
