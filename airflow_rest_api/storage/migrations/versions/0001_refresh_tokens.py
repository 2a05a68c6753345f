"""Refresh tokens."""

from __future__ import annotations

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of refresh tokens."""
    op.create_table(
        "rest_api_refresh_token",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("family_id", sa.String(32), nullable=False),
        sa.Column("user_claims", sa.JSON, nullable=False),
        sa.Column("user_name", sa.String(500), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("used_at", UtcDateTime, nullable=True),
        sa.Column("revoked_at", UtcDateTime, nullable=True),
    )
    op.create_index("idx_rest_api_refresh_token_family", "rest_api_refresh_token", ["family_id"])
    op.create_index("idx_rest_api_refresh_token_expires", "rest_api_refresh_token", ["expires_at"])


def downgrade() -> None:
    """Drop the table of refresh tokens."""
    op.drop_table("rest_api_refresh_token")
