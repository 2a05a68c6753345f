"""The tables of this service; all names start with `rest_api_`."""

from __future__ import annotations

from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import JSON, Column, Index, Integer, MetaData, String, Table

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
    Index("idx_rest_api_refresh_token_expires", "expires_at"),
)

# What was ended before its time: `token:` and the id of an access token, or `family:` and the id of a family of
# refresh tokens, which ends the access tokens that came of it as well. A row may go when all of them have expired.
revocation = Table(
    "rest_api_revocation",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("idx_rest_api_revocation_expires", "expires_at"),
)

# Failed logins that still count. `bucket` is a keyed hash of whose failures they are: neither names nor addresses
# are stored.
login_failure = Table(
    "rest_api_login_failure",
    metadata,
    Column("bucket", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Index("idx_rest_api_login_failure_since", "since"),
)
