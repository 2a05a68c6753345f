"""Kinds: how the operations of the contract that answer 202 are carried out, by operationId."""

from __future__ import annotations

from airflow_rest_api.services.background import Kind

KINDS: dict[str, Kind] = {}
