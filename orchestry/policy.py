"""The scaling policy in force: the spec's, with the changes that were made to it since; pure.

Changes are kept in the spec's own words (`maxReplicas`); the API's words are the same in
snake case (`max_replicas`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from orchestry.errors import Code, OrchestryError
from orchestry.spec import tables
from orchestry.spec.model import Defaults, Scaling
from orchestry.spec.parse import (
    DEFAULTED,
    DEFAULTS,
    STORED_SPECS_MAX,
    canonical,
    unknown_zones,
)
from orchestry.spec.shapes import BAD, Faults

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*")


def api_name(key: str) -> str:
    """`targetRPSPerReplica` -> `target_rps_per_replica`."""
    return "_".join(word.lower() for word in _WORD.findall(key))


SPEC_KEYS: Final[Mapping[str, str]] = {
    api_name(key.name): key.name
    for section in (tables.SCALING, tables.SCHEDULE_ENTRY) for key in section.keys
}
"""The API's name of every key of a policy and of its schedule's entries -> the spec's."""


def changes_of(body: Mapping[str, Any]) -> str:
    """What a partial update asks for, in the spec's words, as text for the log.

    Raises:
        OrchestryError: VALIDATION_ERROR with every fault; rules between keys are checked by
            `changed`, which sees the rest of the policy.
    """
    renamed = _renamed(body)
    faults = Faults()
    for key in tables.SCALING.keys:
        if key.name in renamed:
            key.shape.read(renamed[key.name], key.name, faults)
    unknown = sorted(set(renamed) - {key.name for key in tables.SCALING.keys})
    for name in unknown:
        known = ", ".join(api_name(key.name) for key in tables.SCALING.keys)
        faults.add(name, f"is not known: use {known}")
    if not renamed:
        faults.add("", "must name at least one key of the policy")
    if faults.problems:
        raise _invalid(faults)
    return canonical(renamed)


def check_zones(policy: Scaling) -> None:
    """Refuse a schedule in a time zone that this machine does not know.

    Raises:
        OrchestryError: VALIDATION_ERROR.
    """
    problems = unknown_zones(policy)
    if problems:
        raise OrchestryError(Code.VALIDATION_ERROR, [
            {"field": problem.field.removeprefix("scaling."), "message": problem.message}
            for problem in problems
        ])


def changed(document: str, before: str, changes: str) -> str:
    """The changes in force after `changes`, on top of those `before`.

    Raises:
        OrchestryError: VALIDATION_ERROR when the policy as a whole breaks a rule.
    """
    after = canonical({**json.loads(before or "{}"), **json.loads(changes)})
    policy_of(document, after)
    return after


def text_of(document: str, changes: str, defaults: Defaults = DEFAULTS) -> str:
    """The policy in force as text, in the API's words, without what `Scaling` has by default.

    So a later version, with more keys, writes the same; `filled` has all of them.
    """
    usual = written(Scaling())
    found = written(policy_of(document, changes, defaults))
    return canonical({name: value for name, value in found.items() if value != usual[name]})


def filled(text: str) -> dict[str, Any]:
    """Every key of a policy that was written by `text_of`."""
    return {**written(Scaling()), **json.loads(text)}


@lru_cache(STORED_SPECS_MAX)
def policy_of(document: str, changes: str = "", defaults: Defaults = DEFAULTS) -> Scaling:
    """The policy of a stored document with the changes made since, on the cluster's defaults.

    Nothing else of the document is read: steps ask, and all versions must answer the same,
    also those that do not know another key of it.

    Raises:
        ValueError: the document is not readable.
        OrchestryError: VALIDATION_ERROR when the policy breaks a rule.
    """
    stored = json.loads(document)
    if not isinstance(stored, dict):
        raise ValueError("must be a mapping")
    faults = Faults()
    own = tables.SCALING.read(stored.get("scaling", {}), "", faults)
    if not faults.problems and own is not BAD:
        usual = {name: getattr(defaults, attribute)
                 for attribute, (side, name) in DEFAULTED.items() if side == "scaling"}
        own = tables.SCALING.read(
            {**usual, **stored.get("scaling", {}), **json.loads(changes or "{}")}, "", faults)
    if faults.problems or own is BAD:
        raise _invalid(faults)
    policy: Scaling = own
    return policy


def written(policy: Scaling) -> dict[str, Any]:
    """The policy in the API's words, every key of it."""
    return {
        api_name(name): [_api_entry(entry) for entry in value] if name == "schedule" else value
        for name, value in tables.SCALING.write(policy).items()
    }


def _api_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {api_name(name): value for name, value in entry.items()}


def _renamed(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name == "schedule" and isinstance(value, list):
            found[name] = [
                {SPEC_KEYS.get(part, part): inner for part, inner in entry.items()}
                if isinstance(entry, dict) else entry for entry in value
            ]
        else:
            found[SPEC_KEYS.get(name, name)] = value
    return found


def _invalid(faults: Faults) -> OrchestryError:
    return OrchestryError(Code.VALIDATION_ERROR, [
        {"field": _api_path(problem.field), "message": _api_words(problem.message)}
        for problem in faults.problems
    ])


def _api_path(field: str) -> str:
    return re.sub(r"[A-Za-z][A-Za-z0-9]*", lambda word: _api_word(word.group()), field)


def _api_words(message: str) -> str:
    return re.sub(r"\b[a-z]+[A-Z][A-Za-z0-9]*", lambda word: _api_word(word.group()), message)


def _api_word(word: str) -> str:
    name = api_name(word)
    return name if SPEC_KEYS.get(name) == word else word
