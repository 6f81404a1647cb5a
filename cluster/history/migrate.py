"""migrate: the tables of a database brought up to this version, by one controller at a time."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

LOCK_KEY = 0x6F726368
"""The advisory lock of PostgreSQL that migrations take turns by; "orch"."""
_alembic = threading.Lock()  # its context is one a process


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to `revision`, all or nothing.

    Raises whatever SQLAlchemy raises; ValueError when a newer version made the tables.
    """
    with _alembic, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        config = _config(connection)
        there = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if there is not None and there not in known:
            raise ValueError(
                f"its tables are of version {there}, which a newer Orchestry made: upgrade this "
                "controller")
        command.upgrade(config, revision)


def revisions() -> list[str]:
    """All versions of the tables, oldest first."""
    scripts = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
