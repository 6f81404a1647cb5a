"""`RunCalls`: what runs once."""

from __future__ import annotations

from collections.abc import Sequence

from orchestry.client.basis import Basis, R
from orchestry.client.exchange import S
from orchestry.client.parts import app_path

RUN_S = 3600


class RunCalls(Basis[R, S]):
    """The calls about runs."""

    def run_app(
        self, app_name: str, command: Sequence[str], *, timeout: int = RUN_S,
        idempotency_key: str | None = None,
    ) -> R:
        """Run a command once in a container like those of the app, for `timeout` seconds at most.

        Answers with the id of the `run`, for `get_run`.
        """
        body = {"command": list(command), "timeout_s": timeout}
        return self._write("POST", app_path(app_name, "/run"), body, key=idempotency_key)

    def list_runs(self, app_name: str) -> R:
        """The runs of an app, newest first."""
        return self._read(app_path(app_name, "/runs"))

    def get_run(self, app_name: str, run: int) -> R:
        """One run: its `status`, its `exit_code`, and what it wrote last."""
        return self._read(app_path(app_name, f"/runs/{run:d}"))

    def cancel_run(
        self, app_name: str, run: int, *, idempotency_key: str | None = None
    ) -> R:
        """Stop a run, or do not begin it; raises Conflict when it is over."""
        return self._write(
            "POST", app_path(app_name, f"/runs/{run:d}/cancel"), None, key=idempotency_key)
