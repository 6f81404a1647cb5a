"""spec_for: the spec of a stored app, which a newer version may have written; pure."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from cluster.state.model import App
from orchestry.errors import OrchestryError
from orchestry.policy import policy_of
from orchestry.spec.model import AppSpec, Defaults
from orchestry.spec.parse import DEFAULTS, STORED_SPECS_MAX, spec_of


def spec_for(app: App, defaults: Defaults = DEFAULTS) -> AppSpec | None:
    """The parsed spec with the scaling policy in force; None when this version cannot read it.

    One unreadable app is left alone as it is: it must not stop the loops for all others.
    """
    try:
        if not app.scaling:
            return spec_of(app.document, defaults)
        return _spec(app.document, app.scaling, defaults)
    except (OrchestryError, ValueError, TypeError):
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
    except (OrchestryError, ValueError, TypeError):
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
