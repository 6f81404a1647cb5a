"""Keys of specs that an older member does not know yet, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.state import levels, spec_levels
from cluster.state.commands import AnnounceController, ChangeMembers
from tests.api.support import Node, make, spec

LATE = {"deploy.minHealthySeconds": 2, "scaling.windowSeconds": 2}
NEW: dict[str, Any] = {"deploy": {"minHealthySeconds": 1}}


def tell(node: Node, name: str, level: int) -> None:
    """A controller announces what it understands."""
    node.submit(AnnounceController(name, f"http://{name}", name, f"1.{level}.0", level))


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> tuple[Node, FlaskClient]:
    """A new controller and one that waits for its upgrade."""
    monkeypatch.setattr(levels, "LEVEL", 2)
    monkeypatch.setattr(spec_levels, "SPEC", {**spec_levels.SPEC, **LATE})
    node, _, client = make()
    node.submit(ChangeMembers(0, (("old", "h:2"), ("one", "h:1"))))
    tell(node, "one", 2)
    tell(node, "old", 1)
    assert client.post("/api/v1/apps/register", json=spec()).status_code == 201
    return node, client


RELEASE = {"chart": "web", "chart_version": "1.0.0"}
WRITES: dict[str, tuple[str, str, Any]] = {
    "register": ("POST", "/api/v1/apps/register", spec("other", **NEW)),
    "update": ("PUT", "/api/v1/apps/shop", spec(**NEW)),
    "dry run": ("PUT", "/api/v1/apps/shop?dry_run=true", spec(**NEW)),
    "release": ("PUT", "/api/v1/releases/web", {**RELEASE, "specs": [spec("web", **NEW)]}),
    "release, dry run": ("PUT", "/api/v1/releases/web?dry_run=true",
                         {**RELEASE, "specs": [spec("web", **NEW)]}),
    "policy": ("PUT", "/api/v1/apps/shop/scaling", {"window_seconds": 30}),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_key_waits_until_all_members_know_it(
    mixed: tuple[Node, FlaskClient], name: str
) -> None:
    """The answer names the key and whom to upgrade; nothing changes before, all is well after."""
    node, client = mixed
    method, path, body = WRITES[name]
    before = node.log.state()
    refused = client.open(path, method=method, json=body)
    assert refused.status_code == 409, refused.get_json()
    error = refused.get_json()
    assert error["code"] == "CONFLICT"
    key = "scaling.windowSeconds" if name == "policy" else "deploy.minHealthySeconds"
    assert f"`{key}` needs level 2" in error["details"]
    assert "first upgrade old (version 1.1.0)" in error["details"]
    assert node.log.state() is before
    tell(node, "old", 2)
    assert client.open(path, method=method, json=body).status_code in (200, 201)
