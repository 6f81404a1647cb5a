"""Audit of refusals: writes that were refused before they became commands, counted and bounded.

What became a command is recorded where it is applied. A flood of refusals must not flood the
log: they are counted by kind for a minute, in a bounded number of kinds, and then recorded.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from flask import Flask, Response, request

from api import writes
from api.controller import Controller
from cluster.state.commands import Origin, RecordRefusals, Refused, Stamp

WINDOW_S = 60.0
KINDS_MAX = 20
OTHERS = Origin("", "", "others", "*", "*")
"""Who stands for all that a minute had no room for."""


class Refusals:
    """The refusals of one controller that are not yet recorded. Thread-safe."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, ...], Refused] = {}
        self._until_s = 0.0

    def note(self, origin: Origin, app: str, code: str) -> None:
        """One more; it is recorded with others of its kind within a minute or so."""
        clock = self._controller.clock
        key: tuple[str, ...] = (origin.token, origin.client, origin.method, app, code)
        with self._lock:
            if not self._kinds:
                self._until_s = clock.monotonic_s() + WINDOW_S
            if key not in self._kinds and len(self._kinds) >= KINDS_MAX:
                key, origin, app, code = ("",), OTHERS, "", "REFUSED"
            kept = self._kinds.get(key) or Refused(origin, app, code, 0, clock.wall_ms())
            self._kinds[key] = replace(kept, count=kept.count + 1)

    def record(self) -> None:
        """Hand over what a minute brought; called with each request, waits for nothing."""
        log, clock = self._controller.log, self._controller.clock
        if not self._kinds or clock.monotonic_s() < self._until_s or log.leader_id() is None:
            return
        with self._lock:
            found, self._kinds = tuple(self._kinds.values()), {}
        if found:
            log.submit(RecordRefusals(found), Stamp(clock.wall_ms(), self._controller.id))


def install(app: Flask, controller: Controller) -> None:
    """Look at the answer of each request."""
    if not controller.settings.auth_on:
        return
    refusals = Refusals(controller)

    @app.after_request
    def after(response: Response) -> Response:
        # Of reads only those count that somebody was not allowed, such as a backup.
        refused = response.status_code >= 400 and (
            request.method in writes.METHODS or response.status_code in (401, 403))
        if refused and writes.AUDITED not in request.environ:
            name = (request.view_args or {}).get("app_name", "")
            refusals.note(writes.origin_of(controller), str(name)[:writes.PATH_MAX],
                          _code(response))
        refusals.record()
        return response


def _code(response: Response) -> str:
    found = response.get_json(silent=True)
    return str(found.get("code", response.status_code)) if isinstance(found, dict) else str(
        response.status_code)
