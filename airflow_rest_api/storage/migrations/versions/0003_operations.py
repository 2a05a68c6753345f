"""Work that outlives its request."""

from __future__ import annotations

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "rest_api_operation",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("caller_id", sa.String(500), nullable=False),
        sa.Column("caller_name", sa.String(500), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("is_safe", sa.Boolean, nullable=False),
        sa.Column("is_cancelled", sa.Boolean, nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("leased_until", UtcDateTime, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=True),
        sa.Column("ended_at", UtcDateTime, nullable=True),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=True),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON, nullable=True),
        sa.Column("error", sa.Text, nullable=True),
        sa.Column("log", sa.Text, nullable=False),
    )
    op.create_index("idx_rest_api_operation_caller", "rest_api_operation", ["caller_id", "created_at"])
    op.create_index("idx_rest_api_operation_state", "rest_api_operation", ["state", "leased_until"])
    op.create_index("idx_rest_api_operation_expires", "rest_api_operation", ["expires_at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("rest_api_operation")
