"""The tables of this service; all names start with `rest_api_`."""

from __future__ import annotations

from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import JSON, Column, Index, MetaData, String, Table

metadata = MetaData()

# One row per refresh token ever issued and not yet expired. The token itself is never stored: `token_hash` is
# the SHA-256 of it in hex. A token and all its successors share `family_id`.
refresh_token = Table(
    "rest_api_refresh_token",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("family_id", String(32), nullable=False),
    Column("user_claims", JSON, nullable=False),
    Column("user_name", String(500), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    Index("idx_rest_api_refresh_token_family", "family_id"),
    Index("idx_rest_api_refresh_token_expires", "expires_at"),
)
