"""Alembic's environment: runs inside the transaction that cluster.history.migrate began."""

from __future__ import annotations

from alembic import context

from cluster.history.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
