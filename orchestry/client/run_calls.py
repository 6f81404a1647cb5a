"""`RunCalls`: what runs once."""

from __future__ import annotations

from collections.abc import Sequence

from orchestry.client.basis import Basis, R
from orchestry.client.exchange import S
from orchestry.client.parts import app_path, path_part

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

    def list_jobs(self) -> R:
        """All jobs; they are registered, updated and removed as apps are."""
        return self._read("/api/v1/jobs")

    def get_job(self, name: str) -> R:
        """One job; its runs are those of `list_runs`."""
        return self._read(_job(name))

    def trigger_job(self, name: str, *, idempotency_key: str | None = None) -> R:
        """Run a job now; answers with the id of the `run`."""
        return self._write("POST", _job(name, "/trigger"), None, key=idempotency_key)

    def suspend_job(self, name: str, *, idempotency_key: str | None = None) -> R:
        """Begin nothing by its schedule any more."""
        return self._write("POST", _job(name, "/suspend"), None, key=idempotency_key)

    def resume_job(self, name: str, *, idempotency_key: str | None = None) -> R:
        """Go on with its schedule, from now on."""
        return self._write("POST", _job(name, "/resume"), None, key=idempotency_key)


def _job(name: str, rest: str = "") -> str:
    return f"/api/v1/jobs/{path_part('app_name', name)}{rest}"
