"""Origins: pages of other sites must not act or listen through a user's browser.

A browser lets any page open a WebSocket and send simple POSTs to any host, loopback included,
and names the page's origin in both. Source: "The Origin header" in the Fetch standard.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from api import errors, writes
from api.controller import Controller
from api.streams.take_over import UPGRADE
from orchestry.errors import Code


def install(app: Flask, controller: Controller) -> None:
    """Refuse writes and WebSockets of pages that did not come from here."""
    allowed = frozenset(controller.settings.origins)

    @app.before_request
    def before() -> Response | None:
        origin = request.headers.get("Origin")
        if origin is None or not (request.method in writes.METHODS or UPGRADE in request.environ):
            return None
        if origin in allowed or _netloc(origin) == request.host.lower():
            return None
        return errors.response(
            Code.FORBIDDEN,
            f"Pages of {origin[:200]} may not act here: a proxy must pass the Host that the "
            "browser asked for, and other sites belong into ORCHESTRY_ORIGINS")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
