"""AsyncClient: the same surface as Client, and what only it can get wrong."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from contextlib import aclosing
from typing import Any

import pytest

import orchestry
from orchestry import client as sdk
from tests.architecture.files import ROOT
from tests.unit.stub_cluster import Says, Seen, nodes
from tests.unit.test_client_streams import close, event, in_turn, stream
from tests.unit.test_node_client import camel_case

# As the language has them, for the two kinds of a context manager.
ENTERING = {"__enter__": "__aenter__", "__exit__": "__aexit__"}


def surface(kind: type) -> dict[str, inspect.Signature | None]:
    """Public members with their parameters; answers differ by nature."""
    found = {}
    for name, member in inspect.getmembers(kind):
        if name.startswith("_") and name not in (*ENTERING, *ENTERING.values(), "__init__"):
            continue
        found[name] = inspect.signature(member).replace(
            return_annotation=inspect.Signature.empty) if callable(member) else None
    return found


def test_both_clients_have_the_same_surface() -> None:
    """Every member with the same parameters, their order and their defaults."""
    blocking, other = surface(orchestry.Client), surface(orchestry.AsyncClient)
    assert {ENTERING.get(name, name): member for name, member in blocking.items()} == other
    assert len(blocking) > 40


def test_calls_are_awaited_and_streams_are_asynchronous() -> None:
    """Nothing blocks: each call is a coroutine, each stream an asynchronous generator."""
    async def look() -> None:
        with nodes(in_turn(Says(200, {"ok": 1}))) as (node,):
            async with orchestry.AsyncClient(node.url) as client:
                pending: Any = client.list_apps()
                assert asyncio.iscoroutine(pending)
                assert await pending == {"ok": 1}
                for found in (client.stream_events(), client.stream_logs("web"),
                              client.stream_metrics("web")):
                    assert inspect.isasyncgen(found)
                    await found.aclose()

    asyncio.run(look())


def test_many_calls_wait_at_the_same_time() -> None:
    """Calls of one client overlap, also more of them than it has connections."""
    def slow(seen: Seen) -> Says:
        return Says(200, {"path": seen.path}, delay_s=0.2)

    async def look() -> list[Any]:
        with nodes(slow) as (node,):
            async with orchestry.AsyncClient(node.url) as client:
                return list(await asyncio.gather(
                    *(client.get_app_status(f"app-{number}") for number in range(150))))

    found = asyncio.run(look())
    assert [one["path"] for one in found] == [f"/api/v1/apps/app-{n}" for n in range(150)]


def test_a_cancelled_call_ends_at_once_and_the_client_goes_on() -> None:
    """Cancelling is not swallowed by retries, and leaves a client that works."""
    def script(seen: Seen) -> Says:
        return Says(200, {"ok": 1}, delay_s=30 if seen.method == "POST" else 0)

    async def look() -> None:
        with nodes(script) as (node,):
            async with orchestry.AsyncClient(node.url) as client:
                call = asyncio.create_task(client.start_app("web"))
                while not node.seen:
                    await asyncio.sleep(0.01)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                answer: Any = await client.list_apps()
                assert answer == {"ok": 1}
                assert [seen.method for seen in node.seen] == ["POST", "GET"]

    asyncio.run(look())


def test_who_stops_reading_an_asynchronous_stream_closes_the_connection() -> None:
    """`aclosing` leaves nothing open."""
    async def look() -> None:
        with nodes(in_turn(stream(event(1), event(2), close(1000)))) as (node,):
            async with orchestry.AsyncClient(node.url) as client, \
                    aclosing(client.stream_events(0)) as events:
                async for one in events:
                    assert one["id"] == 1
                    break
            assert len(node.seen) == 1

    asyncio.run(look())


WITHOUT = """
import sys
sys.modules["httpx"] = None
import orchestry
import orchestry.client
print(orchestry.Client.__name__)
for home in (orchestry, orchestry.client):
    try:
        home.AsyncClient
    except ImportError as error:
        print(error)
"""


def test_without_its_library_everything_else_works() -> None:
    """The base install has no httpx; asking for AsyncClient says how to get it."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], text=True, capture_output=True,
                          timeout=60, check=True)
    advice = "orchestry.AsyncClient needs httpx: pip install 'orchestry[async]'"
    assert done.stdout.splitlines() == ["Client", advice, advice]
    with pytest.raises(AttributeError):
        _ = sdk.Nothing


def test_the_pages_of_both_languages_name_every_call() -> None:
    """A call that no page names is one that nobody finds."""
    names = [name for name in dir(orchestry.Client)
             if not name.startswith("_") and name not in ("close", "urls")]
    python = (ROOT / "docs" / "python-client.md").read_text()
    node = (ROOT / "sdk" / "node" / "README.md").read_text()
    assert [name for name in names if f"`{name}(" not in python] == []
    assert [name for name in names if name != "gap_s"
            and f"`{camel_case(name)}(" not in node] == []
