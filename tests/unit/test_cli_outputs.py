"""The table of what each command prints as JSON is whole; the real check is an acceptance test."""

from __future__ import annotations

import jsonschema_rs
import pytest

from orchestry.cli.app import app
from tests.api.support import make
from tests.cli_outputs import CASES, ELSEWHERE, Case, commands, schema_of

CONTRACT = """
dev node register apply validate init up down delete scale autoscale status list info top
deploys rollback pause resume promote restart spec logs events metrics health exec
config.set config.use config.list secret.set secret.list secret.rm
cluster.status cluster.leader cluster.health cluster.transfer cluster.add cluster.remove
cluster.backup cluster.restore cluster.verify cluster.recover cluster.drill
token.create token.list token.revoke audit
chart.render chart.install chart.upgrade chart.rollback chart.uninstall chart.lint
"""
"""The commands that were promised and are there."""


def name_of(case: Case) -> str:
    """The command of a line."""
    words = case.arguments
    return next(
        name for count in (3, 2, 1) if (name := " ".join(words[:count])) in set(commands(app)))


def test_every_promised_command_is_there() -> None:
    """Under its name, and with a line below."""
    promised = {name.replace(".", " ") for name in CONTRACT.split()}
    assert promised <= set(commands(app))


def test_every_command_has_a_line() -> None:
    """In the table, or in the list of those that are checked elsewhere, and in one of them."""
    shown = {name_of(case) for case in CASES}
    assert shown | ELSEWHERE.keys() == set(commands(app))
    assert not shown & ELSEWHERE.keys()


def test_every_schema_is_one_and_refuses_nothing_at_all() -> None:
    """Each names an operation that exists, or is a schema that an empty answer does not pass."""
    document = make()[2].get("/openapi.json").get_json()
    for case in CASES:
        validator = jsonschema_rs.validator_for(schema_of(case, document))
        assert not validator.is_valid({}), case
        assert not validator.is_valid([]), case
        with pytest.raises(jsonschema_rs.ValidationError):
            validator.validate(None)
