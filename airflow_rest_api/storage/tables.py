"""The tables of this service; all names start with `rest_api_`."""

from __future__ import annotations

from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

# What one file or folder of DAGs may take: more than the 64 KiB of MySQL's own `BLOB`.
_CONTENT = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")

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

# One row per deployment: what was put where, by whom, and what came of it. It is the journal as well, written before
# the first file is touched. `place` is a hash of the bundle's name and the path, whose deployments `number` counts.
# `content` is what the path holds afterwards, of the newest ones, and `before` what it held until then, as far as no
# deployment knows; both are compressed. `steps`, `errors` and `dag_versions` are told as they are.
deployment = Table(
    "rest_api_deployment",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("place", String(64), nullable=False),
    Column("bundle_name", String(250), nullable=False),
    Column("path", String(1024), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("number", Integer, nullable=False),
    Column("sha256", String(64), nullable=True),
    Column("previous_sha256", String(64), nullable=True),
    Column("size", BigInteger, nullable=False),
    Column("content", _CONTENT, nullable=True),
    Column("before_kind", String(10), nullable=True),
    Column("before", _CONTENT, nullable=True),
    Column("dag_ids", JSON, nullable=False),
    Column("message", Text, nullable=True),
    Column("caller_id", String(500), nullable=False),
    Column("caller_name", String(500), nullable=False),
    Column("client", String(64), nullable=True),
    Column("options", JSON, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("errors", JSON, nullable=False),
    Column("dag_versions", JSON, nullable=False),
    Column("reference", String(64), nullable=True),
    Column("previous_id", String(36), nullable=True),
    Column("rollback_of", String(36), nullable=True),
    Column("rolled_back_by", String(36), nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("stored_at", UtcDateTime, nullable=True),
    Column("asked_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Index("idx_rest_api_deployment_place", "place", "number"),
    Index("idx_rest_api_deployment_state", "state", "created_at"),
    Index("idx_rest_api_deployment_created", "created_at"),
)

# One row per deployment and DAG that its content holds, so that deployments can be listed by DAG.
deployment_dag = Table(
    "rest_api_deployment_dag",
    metadata,
    Column("deployment_id", String(36), primary_key=True),
    Column("dag_id", String(250), primary_key=True),
    Index("idx_rest_api_deployment_dag_dag", "dag_id"),
)

# One row per place that something was ever deployed to, and one with an empty path per bundle, which is locked while
# places are claimed. `holder` is the deployment that may touch the files there until `held_until`; `current` the one
# whose content is there, None when it was removed.
deployed_path = Table(
    "rest_api_deployed_path",
    metadata,
    Column("place", String(64), primary_key=True),
    Column("bundle_name", String(250), nullable=False),
    Column("path", String(1024), nullable=False),
    Column("holder", String(36), nullable=True),
    Column("held_until", UtcDateTime, nullable=True),
    Column("current", String(36), nullable=True),
    Column("number", Integer, nullable=False),
    Index("idx_rest_api_deployed_path_bundle", "bundle_name"),
)

# One row per run that was made of some tasks of its DAG: which they are, and which of these have none of the others
# directly before them; `map_index` where only this instance of the one task was to run. `dag_run` is the number of the
# run and `created_at` its own; both together name it, even where numbers are given twice.
selection = Table(
    "rest_api_selection",
    metadata,
    Column("dag_run", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("task_ids", JSON, nullable=False),
    Column("first_task_ids", JSON, nullable=False),
    Column("map_index", Integer, nullable=True),
    Column("warnings", JSON, nullable=False),
)
