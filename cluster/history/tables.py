"""Tables of the history, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

events = Table(
    "events", metadata,
    Column("cluster_id", String(64), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("type", String(16), nullable=False),
    Column("app", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("details", Text, nullable=False),
    Index("events_of_app", "cluster_id", "app", "id"),
    Index("events_by_time", "cluster_id", "at_ms"),
    sqlite_with_rowid=False,
)

# `resolution_s` is 0 for a single measurement; `parts` is how many of those a mean is of.
samples = Table(
    "samples", metadata,
    Column("cluster_id", String(64), primary_key=True),
    Column("resolution_s", Integer, primary_key=True, autoincrement=False),
    Column("app", String(64), primary_key=True),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("parts", Integer, nullable=False),
    Column("cpu_percent", Float),
    Column("memory_percent", Float),
    Column("memory_bytes", Float),
    Column("rps", Float),
    Column("p50_ms", Float),
    Column("p95_ms", Float),
    Column("p99_ms", Float),
    Column("connections", Float),
    Column("errors_per_s", Float),
    Column("bytes_per_s", Float),
    Column("healthy", Float),
    Column("total", Float),
    Index("samples_by_time", "cluster_id", "resolution_s", "at_ms"),
    sqlite_with_rowid=False,
)

# One row a cluster: the highest epoch that wrote measurements, and how far means were made.
writers = Table(
    "writers", metadata,
    Column("cluster_id", String(64), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("minutes_until_ms", BigInteger, nullable=False),
    Column("hours_until_ms", BigInteger, nullable=False),
)
