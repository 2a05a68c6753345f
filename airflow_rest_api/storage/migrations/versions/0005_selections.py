"""Selections: which tasks of a run were to run."""

from __future__ import annotations

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "rest_api_selection",
        sa.Column("dag_run", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("task_ids", sa.JSON, nullable=False),
        sa.Column("first_task_ids", sa.JSON, nullable=False),
        sa.Column("map_index", sa.Integer, nullable=True),
        sa.Column("warnings", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("rest_api_selection")
