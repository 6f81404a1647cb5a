"""Events, samples and their writers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "events",
        sa.Column("cluster_id", sa.String(64), primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("events_of_app", "events", ["cluster_id", "app", "id"])
    op.create_index("events_by_time", "events", ["cluster_id", "at_ms"])
    numbers = (
        "cpu_percent", "memory_percent", "memory_bytes", "rps", "p50_ms", "p95_ms", "p99_ms",
        "connections", "errors_per_s", "bytes_per_s", "healthy", "total",
    )
    op.create_table(
        "samples",
        sa.Column("cluster_id", sa.String(64), primary_key=True),
        sa.Column("resolution_s", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("app", sa.String(64), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("parts", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Float) for name in numbers),
        sqlite_with_rowid=False,
    )
    op.create_index("samples_by_time", "samples", ["cluster_id", "resolution_s", "at_ms"])
    op.create_table(
        "writers",
        sa.Column("cluster_id", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("minutes_until_ms", sa.BigInteger, nullable=False),
        sa.Column("hours_until_ms", sa.BigInteger, nullable=False),
    )
