"""The `orchestry` command."""
