"""Calls about secrets, logins of registries and volumes; see test_client.py."""

from __future__ import annotations

from typing import Any

SEALED_CALLS: list[tuple[Any, str, str, Any]] = [
    (lambda c: c.set_registry_login("r.example:5000", "me", "pw"), "PUT",
     "/api/v1/registries/r.example%3A5000", {"username": "me", "password": "pw"}),
    (lambda c: c.list_registries(), "GET", "/api/v1/registries", None),
    (lambda c: c.delete_registry_login("r"), "DELETE", "/api/v1/registries/r", None),
    (lambda c: c.rotate_registry_login("r"), "POST", "/api/v1/registries/r/rotate", None),
    (lambda c: c.set_secret("db", "text"), "PUT", "/api/v1/secrets/db", {"value": "text"}),
    (lambda c: c.set_secret("db", {"user": "me"}), "PUT", "/api/v1/secrets/db",
     {"values": {"user": "me"}}),
    (lambda c: c.list_secrets(), "GET", "/api/v1/secrets", None),
    (lambda c: c.get_secret("a/b"), "GET", "/api/v1/secrets/a%2Fb", None),
    (lambda c: c.delete_secret("db", force=True), "DELETE", "/api/v1/secrets/db?force=true", None),
    (lambda c: c.rotate_secret("db"), "POST", "/api/v1/secrets/db/rotate", None),
    (lambda c: c.list_volumes(), "GET", "/api/v1/volumes", None),
    (lambda c: c.list_volumes("web", sizes=True), "GET", "/api/v1/apps/web/volumes?sizes=true",
     None),
    (lambda c: c.remove_volume("a/b"), "DELETE", "/api/v1/volumes/a%2Fb", None),
]
