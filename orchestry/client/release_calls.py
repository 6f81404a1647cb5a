"""`ReleaseCalls`: charts that are installed in a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestry.client.basis import Basis, R
from orchestry.client.exchange import S
from orchestry.client.parts import flag, path_part


class ReleaseCalls(Basis[R, S]):
    """The calls about releases."""

    def list_releases(self) -> R:
        """All releases in short."""
        return self._read("/api/v1/releases")

    def get_release(self, name: str) -> R:
        """A release: its values, how its apps do, and its kept revisions."""
        return self._read(_path(name))

    def get_release_revision(
        self, name: str, revision: int, *, against: int | None = None
    ) -> R:
        """A revision with its specs and how they differ from those before or of `against`."""
        return self._read(_path(name, f"/revisions/{revision}"), against=against)

    def apply_release(
        self, name: str, chart: str, chart_version: str, specs: Sequence[Mapping[str, Any]], *,
        values: Mapping[str, Any] | None = None, only: str | None = None, dry_run: bool = False,
        keep_data: bool = False, idempotency_key: str | None = None,
    ) -> R:
        """Install what a chart rendered, or make a release what it rendered now.

        `only` is "install" or "upgrade", to be refused if it is the other. `dry_run` tells what
        would change. Raises InvalidRequest, Conflict, NotFound.
        """
        body = {"chart": chart, "chart_version": chart_version, "values": dict(values or {}),
                "specs": [dict(spec) for spec in specs]}
        query = {"dry_run": flag(dry_run), "keep_data": flag(keep_data)}
        if only is not None:
            query["only"] = only
        return self._write("PUT", _path(name), body, query=query, key=idempotency_key)

    def rollback_release(
        self, name: str, revision: int | None = None, *, dry_run: bool = False,
        keep_data: bool = False, idempotency_key: str | None = None,
    ) -> R:
        """Make a release what it was in `revision`, else in the one before the last."""
        query = {"dry_run": flag(dry_run), "keep_data": flag(keep_data)}
        return self._write("POST", _path(name, "/rollback"),
                           {} if revision is None else {"revision": revision}, query=query,
                           key=idempotency_key)

    def uninstall_release(
        self, name: str, *, force: bool = False, keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> R:
        """Forget a release and remove its apps, which drain after the answer."""
        query = {"force": flag(force), "keep_data": flag(keep_data)}
        return self._write("DELETE", _path(name), None, query=query, key=idempotency_key)


def _path(name: str, rest: str = "") -> str:
    return f"/api/v1/releases/{path_part('release', name)}{rest}"
