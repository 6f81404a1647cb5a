"""Who may run a command in a container, and what is written down of it."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from api.routes import exec as route
from cluster.engine.execution import ExecOrder
from cluster.state.commands import RevokeToken, SetConfig, StopApp, UpdateApp
from cluster.state.model import EventRecord
from orchestry.errors import Code, OrchestryError
from orchestry.spec.parse import canonical
from tests.api.callers import ask, asking, bearer, give
from tests.api.support import SPEC, Node

PATH = "/api/v1/apps/shop/exec"


@pytest.fixture
def asks() -> tuple[Node, FlaskClient]:
    """A node that asks for tokens, allows commands, and has the app `shop` with two replicas."""
    node, client = asking()
    node.submit(SetConfig((("exec.enabled", True),)))
    node.report("shop", "healthy", "healthy")
    return node, client


def test_whoever_may_not_read_its_secrets_may_not(asks: tuple[Node, FlaskClient]) -> None:
    """A command could print them: the secret of another team, too."""
    node, client = asks
    document = canonical({**SPEC, "spec": {**SPEC["spec"], "environment": [
        {"name": "A", "source": "secret", "key": "shop-db"},
        {"name": "B", "source": "secret", "key": "billing-db"}]}})
    mine, all_of_them = (bearer(give(node, "deployer", apps)) for apps in ("shop", ""))
    assert ask(client, "GET", PATH, mine).status_code == 400  # no WebSocket
    assert node.submit(UpdateApp("shop", document, "t2", 2)).rejected is None
    refused = ask(client, "GET", PATH, mine)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "FORBIDDEN")
    assert "secrets" in refused.get_json()["details"]
    assert ask(client, "GET", PATH, all_of_them).status_code == 400


def test_nor_those_of_a_replica_that_is_on_its_way_out(
    asks: tuple[Node, FlaskClient],
) -> None:
    """What its app uses now is not what it was given."""
    node, client = asks
    document = canonical({**SPEC, "spec": {**SPEC["spec"], "environment": [
        {"name": "B", "source": "secret", "key": "billing-db"}]}})
    token = bearer(give(node, "deployer", "shop"))
    assert node.submit(UpdateApp("shop", document, "t2", 2)).rejected is None
    node.report("shop", "healthy", "healthy")
    assert node.submit(UpdateApp("shop", canonical(SPEC), "t1", 2)).rejected is None
    assert node.submit(StopApp("shop")).rejected is None
    refused = ask(client, "GET", PATH, token)
    assert (refused.status_code, "secrets" in refused.get_json()["details"]) == (403, True)


def test_a_right_that_has_ended_begins_no_command(asks: tuple[Node, FlaskClient]) -> None:
    """Whatever this controller knew when the client was let in."""
    node, client = asks
    replica = node.log.state().apps["shop"].reports[0]
    notes = []
    for name in ("alice", "bob"):
        headers = bearer(give(node, "deployer", name=name))
        with client.application.test_request_context(PATH, headers=headers):
            assert client.application.preprocess_request() is None
            notes.append(route._note("shop", replica))
    notes[0](ExecOrder(("true",)))
    assert node.submit(RevokeToken("alice")).rejected is None
    with pytest.raises(OrchestryError, match="ended") as refused:
        notes[0](ExecOrder(("true",)))
    assert refused.value.code is Code.FORBIDDEN
    notes[1](ExecOrder(("true",)))
    node.submit(SetConfig((("exec.enabled", False),)))
    with pytest.raises(OrchestryError, match="ended"):
        notes[1](ExecOrder(("true",)))


def entries(node: Node) -> list[EventRecord]:
    """The audit, oldest first."""
    return [event for event in node.log.state().events if event.type == "audit"]


def noted(
    node: Node, client: FlaskClient, token: str, *words: str, path: str = PATH
) -> list[EventRecord]:
    """The entries of the audit that a command brings."""
    before = entries(node)
    replica = node.log.state().apps["shop"].reports[1]
    with client.application.test_request_context(path, headers=bearer(token)):
        assert client.application.preprocess_request() is None
        note = route._note("shop", replica)
    note(ExecOrder(words))
    return entries(node)[len(before):]


def test_the_audit_has_who_where_and_which_program_but_no_arguments(
    asks: tuple[Node, FlaskClient],
) -> None:
    """One entry that is there before the command begins; arguments may be secrets."""
    node, client = asks
    (entry,) = noted(node, client, give(node, "deployer", name="alice"),
                     "psql", "postgres://user:hunter2@db", path=f"{PATH}?access_token=hunter2")
    details = dict(entry.details)
    assert (details["name"], details["method"], entry.app) == ("alice", "GET", "shop")
    assert details["path"] == f"{PATH}?replica=2&arguments=1&program=psql"
    assert (details["code"], "hunter2" in str(node.log.state().events)) == ("OK", False)


@pytest.mark.parametrize(("program", "shown"), [
    ("a" * 5000, "a" * 100), ("x\n\x1b[31m", "x%3F%3F%5B31m"), ("é", "%C3%A9"),
])
def test_a_program_of_any_name_is_one_bounded_line(
    asks: tuple[Node, FlaskClient], program: str, shown: str
) -> None:
    """Whatever somebody calls it."""
    node, client = asks
    (entry,) = noted(node, client, give(node, "admin"), program)
    path = dict(entry.details)["path"]
    assert f"program={shown}".startswith(path.partition("arguments=0&")[2])
    assert len(path) <= 200


def test_who_knows_no_leader_refuses_before_the_upgrade(
    asks: tuple[Node, FlaskClient],
) -> None:
    """So that clients ask another controller, or once more."""
    node, client = asks
    token = bearer(give(node, "deployer"))
    node.local.leader = None
    refused = ask(client, "GET", PATH, token)
    assert (refused.status_code, refused.get_json()["code"]) == (503, "CLUSTER_NOT_READY")


def test_what_cannot_be_noted_is_not_run(
    asks: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a leader there is no entry, and so no command."""
    node, client = asks
    token = give(node, "admin")

    def fails(*arguments: object) -> object:
        raise OrchestryError(Code.CLUSTER_NOT_READY)

    monkeypatch.setattr(node.local, "submit", fails)
    with pytest.raises(OrchestryError) as refused:
        noted(node, client, token, "sh")
    assert refused.value.code is Code.CLUSTER_NOT_READY
