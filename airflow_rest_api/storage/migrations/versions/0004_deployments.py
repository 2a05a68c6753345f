"""Deployments: what was put where, and who may touch the files."""

from __future__ import annotations

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CONTENT = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "rest_api_deployment",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("bundle_name", sa.String(250), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("previous_sha256", sa.String(64), nullable=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("content", _CONTENT, nullable=True),
        sa.Column("before_kind", sa.String(10), nullable=True),
        sa.Column("before", _CONTENT, nullable=True),
        sa.Column("dag_ids", sa.JSON, nullable=False),
        sa.Column("message", sa.Text, nullable=True),
        sa.Column("caller_id", sa.String(500), nullable=False),
        sa.Column("caller_name", sa.String(500), nullable=False),
        sa.Column("client", sa.String(64), nullable=True),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("errors", sa.JSON, nullable=False),
        sa.Column("dag_versions", sa.JSON, nullable=False),
        sa.Column("reference", sa.String(64), nullable=True),
        sa.Column("previous_id", sa.String(36), nullable=True),
        sa.Column("rollback_of", sa.String(36), nullable=True),
        sa.Column("rolled_back_by", sa.String(36), nullable=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("stored_at", UtcDateTime, nullable=True),
        sa.Column("asked_at", UtcDateTime, nullable=True),
        sa.Column("ended_at", UtcDateTime, nullable=True),
    )
    op.create_table(
        "rest_api_deployment_dag",
        sa.Column("deployment_id", sa.String(36), primary_key=True),
        sa.Column("dag_id", sa.String(250), primary_key=True),
    )
    op.create_table(
        "rest_api_deployed_path",
        sa.Column("place", sa.String(64), primary_key=True),
        sa.Column("bundle_name", sa.String(250), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("holder", sa.String(36), nullable=True),
        sa.Column("held_until", UtcDateTime, nullable=True),
        sa.Column("current", sa.String(36), nullable=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_index("idx_rest_api_deployment_place", "rest_api_deployment", ["place", "number"])
    op.create_index("idx_rest_api_deployment_state", "rest_api_deployment", ["state", "created_at"])
    op.create_index("idx_rest_api_deployment_created", "rest_api_deployment", ["created_at"])
    op.create_index("idx_rest_api_deployment_dag_dag", "rest_api_deployment_dag", ["dag_id"])
    op.create_index("idx_rest_api_deployed_path_bundle", "rest_api_deployed_path", ["bundle_name"])


def downgrade() -> None:
    """Drop the tables."""
    for name in ("rest_api_deployed_path", "rest_api_deployment_dag", "rest_api_deployment"):
        op.drop_table(name)
