"""Refresh tokens, revocations and failed logins."""

from __future__ import annotations

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "rest_api_refresh_token",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("family_id", sa.String(32), nullable=False),
        sa.Column("user_claims", sa.JSON, nullable=False),
        sa.Column("user_name", sa.String(500), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("used_at", UtcDateTime, nullable=True),
    )
    op.create_index("idx_rest_api_refresh_token_expires", "rest_api_refresh_token", ["expires_at"])
    op.create_table(
        "rest_api_revocation",
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )
    op.create_index("idx_rest_api_revocation_expires", "rest_api_revocation", ["expires_at"])
    op.create_table(
        "rest_api_login_failure",
        sa.Column("bucket", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
    )
    op.create_index("idx_rest_api_login_failure_since", "rest_api_login_failure", ["since"])


def downgrade() -> None:
    """Drop the tables."""
    for name in ("login_failure", "revocation", "refresh_token"):
        op.drop_table(f"rest_api_{name}")
