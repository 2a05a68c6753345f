"""The tables of this service; all names start with `rest_api_`."""

from __future__ import annotations

from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import JSON, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

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

# One row per call with an `Idempotency-Key`. `scope` is a keyed hash of caller, operation and key, `fingerprint` a
# hash of the request; `attempt` names who carries it out, `state` is `running` or `done`. What was answered is
# there once it is done.
idempotency = Table(
    "rest_api_idempotency",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("attempt", String(32), nullable=False),
    Column("state", String(10), nullable=False),
    Column("locked_until", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("status", Integer, nullable=True),
    Column("headers", JSON, nullable=True),
    Column("body", LargeBinary, nullable=True),
    Index("idx_rest_api_idempotency_expires", "expires_at"),
)

# One row per piece of work that outlives its request. `worker` is the process that carries it out, and has to renew
# `leased_until`; of one that does not, the work is lost, or taken over where `is_safe` says that doing it twice does
# no harm. `request` is what the work is done from, `items` its results one by one, `log` the last lines it wrote.
operation = Table(
    "rest_api_operation",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(60), nullable=False),
    Column("state", String(10), nullable=False),
    Column("caller_id", String(500), nullable=False),
    Column("caller_name", String(500), nullable=False),
    Column("request", JSON, nullable=False),
    Column("is_safe", Boolean, nullable=False),
    Column("is_cancelled", Boolean, nullable=False),
    Column("worker", String(64), nullable=False),
    Column("leased_until", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=True),
    Column("items", JSON, nullable=False),
    Column("result", JSON, nullable=True),
    Column("error", Text, nullable=True),
    Column("log", Text, nullable=False),
    Index("idx_rest_api_operation_caller", "caller_id", "created_at"),
    Index("idx_rest_api_operation_state", "state", "leased_until"),
    Index("idx_rest_api_operation_expires", "expires_at"),
)
