"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.both_clients import CLIENTS, Connect
from tests.unit.stub_answers import answer
from tests.unit.stub_cluster import StubNode, judge, nodes


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubNode]:
    """A healthy stub controller that ORCHESTRY_URL names."""
    with nodes(answer) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        yield stub


@pytest.fixture(autouse=True)
def _no_stub_lies(request: pytest.FixtureRequest) -> Iterator[None]:
    """Before commands the stubs answer what the API could answer, and all of it."""
    if not request.node.path.name.startswith(("test_cli.", "test_cli_")):
        yield
        return
    from tests.unit.whole_answers import judged

    judge.append(judged)
    yield
    judge.remove(judged)


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Makes a client that blocks, and then the other one."""
    return CLIENTS[request.param]
