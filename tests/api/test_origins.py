"""Pages of other sites: they cannot act or listen through somebody's browser."""

from __future__ import annotations

import pytest

from tests.api.support import make, spec


@pytest.mark.parametrize(("origin", "status"), [
    (None, 201), ("http://localhost", 201), ("https://ops.example.org", 201),
    ("http://LOCALHOST", 201), ("http://localhost:8080", 403), ("https://evil.example", 403),
    ("null", 403), ("http://localhost.evil.example", 403), ("not a url [", 403),
])
def test_writes_of_other_sites_are_refused(origin: str | None, status: int) -> None:
    """Only pages from here, from named sites, and what is no browser may write."""
    _, _, client = make({"ORCHESTRY_ORIGINS": "https://ops.example.org"})
    headers = {} if origin is None else {"Origin": origin}
    answer = client.post("/api/v1/apps/register", json=spec(), headers=headers)
    assert answer.status_code == status
    if status == 403:
        body = answer.get_json()
        assert body["code"] == "FORBIDDEN"
        assert "ORCHESTRY_ORIGINS" in body["details"]
        assert client.get("/api/v1/apps", headers=headers).get_json()["total"] == 0


def test_web_sockets_of_other_sites_are_refused() -> None:
    """A browser would let any page read them; plain reads it protects by itself."""
    _, _, client = make()
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    path = "/api/v1/events/stream"
    for origin, status in (("https://evil.example", 403), ("http://localhost", 503)):
        answer = client.get(path, headers={**handshake, "Origin": origin})
        assert answer.status_code == status, answer.get_data()
    assert client.get("/api/v1/apps", headers={"Origin": "https://evil.example"}).status_code == 200
