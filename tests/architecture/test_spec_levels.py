"""Every key of a spec has a level, so that none reaches a controller that does not know it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from cluster.state import commands as c
from cluster.state import levels, spec_levels
from cluster.state.model import ClusterState
from orchestry.spec import jobs, tables
from orchestry.spec.shapes import Key, ListOf, Scalar, Section, Shape, boolean, choice
from tests.unit.formats.samples import parts

HOW = "give each a level in SPEC of cluster/state/spec_levels.py: docs/adr/0026-levels.md"


def names(shape: Shape, at: str = "") -> Iterator[str]:
    """The keys of a shape by their paths, and the words that they take."""
    if isinstance(shape, Section):
        for key in shape.keys:
            for name in (key.name, *key.aliases):
                path = f"{at}.{name}" if at else name
                yield path
                yield from names(key.shape, path)
    elif isinstance(shape, ListOf):
        yield from names(shape.item, f"{at}[]")
    elif isinstance(shape, Scalar):
        yield from (f"{at}={word}" for word in shape.schema.get("enum", ()))


def test_every_key_and_every_word_of_a_spec_has_its_level() -> None:
    """And no key went away: other versions still write it."""
    known = {*names(tables.document(tables.MEMORY_FLOOR_BYTES)),
             *names(jobs.document(tables.MEMORY_FLOOR_BYTES))}
    assert not known - spec_levels.SPEC.keys(), HOW
    assert not spec_levels.SPEC.keys() - known, "a key or a word is never removed or renamed"
    assert max(spec_levels.SPEC.values()) <= levels.LEVEL, "LEVEL is the highest of all"


def test_a_key_without_a_level_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail, for a key, a word, and what is within a list."""
    more = Section(dict, (
        *tables.METADATA.keys, Key("late", "late", boolean()),
        Key("modes", "modes", ListOf(choice("fast")))))
    monkeypatch.setattr(tables, "METADATA", more)
    known = set(names(tables.document.__wrapped__(1)))
    assert known - spec_levels.SPEC.keys() == {
        "metadata.late", "metadata.modes", "metadata.modes[]=fast"}


def test_every_field_that_holds_a_spec_is_looked_into() -> None:
    """In commands and in the state, which a restore brings in whole."""
    holds = ("document", "changes", "scaling")
    found = {
        (part.__name__, name)
        for kind in (*get_args(c.Command), ClusterState)
        for part in parts(kind) for name in holds if part.__annotations__.get(name) == "str"}
    assert found == set(spec_levels.DOCUMENTS)
