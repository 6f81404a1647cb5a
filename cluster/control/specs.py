"""The specs of stored apps, which a newer version may have written; pure.

Parsing one takes about a millisecond, the next look at it nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from cluster.config.keys import spec_defaults
from cluster.state.model import App, ClusterState
from orchestry.errors import OrchestryError
from orchestry.policy import policy_of
from orchestry.spec.model import AppSpec, Defaults
from orchestry.spec.parse import DEFAULTS, STORED_SPECS_MAX, spec_of

_UNREADABLE: Final = (
    OrchestryError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RecursionError)
CHARACTERS_AT_ONCE: Final = 16_384
"""Of documents; parsing so much takes a small part of a lease."""


def spec_for(app: App, defaults: Defaults = DEFAULTS) -> AppSpec | None:
    """The parsed spec with the scaling policy in force; None when this version cannot read it.

    One unreadable app is left alone as it is: it must not stop the loops for all others.
    """
    try:
        if not app.scaling:
            return spec_of(app.document, defaults)
        return _spec(app.document, app.scaling, defaults)
    except _UNREADABLE:
        return None


def spec_of_template(
    app: App, template: int, defaults: Defaults = DEFAULTS
) -> AppSpec | None:
    """The spec that containers of this template are made from; None when it is not known."""
    if template == app.made_from:
        return spec_for(app, defaults)
    found = next((one for one in reversed(app.revisions) if one.template == template), None)
    try:
        return spec_of(found.document, defaults) if found is not None else None
    except _UNREADABLE:
        return None


def old_specs(app: App, defaults: Defaults = DEFAULTS) -> dict[int, AppSpec]:
    """Those of the older templates whose replicas a rollout still wants."""
    if app.rollout is None:
        return {}
    found = {
        template: spec_of_template(app, template, defaults)
        for template in {place[0] for place in app.rollout.old}
    }
    return {template: spec for template, spec in found.items() if spec is not None}


@lru_cache(STORED_SPECS_MAX)
def _spec(document: str, scaling: str, defaults: Defaults) -> AppSpec:
    return replace(
        spec_of(document, defaults), scaling=policy_of(document, scaling, defaults))


_Asked = tuple[str, str, bool]
"""Whatever else changes of an app, its specs stay parsed."""


class Reader:
    """Parses what nobody has parsed yet, little at a time, so that no loop has to.

    With thousands of apps a loop that met them all for the first time would take longer than
    a lease lasts.
    """

    def __init__(self) -> None:
        self._apps: object = None
        self._defaults = DEFAULTS
        self._known: dict[str, _Asked] = {}
        self._left: list[str] = []

    def step(self, state: ClusterState) -> bool:
        """Parse some; True when all specs of the state are parsed."""
        self._look(state)
        characters = 0
        while self._left and characters < CHARACTERS_AT_ONCE:
            app = state.apps[self._left.pop()]
            characters += self._read(app)
            self._known[app.name] = _asked(app)
        return not self._left

    def _look(self, state: ClusterState) -> None:
        """Find what is new since the last look."""
        defaults = spec_defaults(state.config)
        if defaults != self._defaults:
            self._apps, self._defaults = None, defaults
            self._known.clear()
        if state.apps is self._apps:
            return
        self._apps = state.apps
        known = self._known
        self._left = [name for name, app in state.apps.items() if known.get(name) != _asked(app)]
        if len(known) > len(state.apps):
            self._known = {name: known[name] for name in state.apps if name in known}

    def _read(self, app: App) -> int:
        """Parse what loops ask for of an app; how many characters that may have been."""
        for defaults in {DEFAULTS, self._defaults}:
            spec_for(app, defaults)
            old_specs(app, defaults)
        old = {place[0] for place in app.rollout.old} if app.rollout is not None else ()
        return len(app.document) + sum(
            len(one.document) for one in app.revisions if one.template in old)


def _asked(app: App) -> _Asked:
    return app.document, app.scaling, app.rollout is not None
