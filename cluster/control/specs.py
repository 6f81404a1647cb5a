"""spec_for: the spec of a stored app, which a newer version may have written; pure."""

from __future__ import annotations

from cluster.state.model import App
from orchestry.spec.model import AppSpec
from orchestry.spec.parse import SpecError, spec_of


def spec_for(app: App) -> AppSpec | None:
    """The parsed spec; None when this version cannot read it.

    One unreadable app is left alone as it is: it must not stop the loops for all others.
    """
    try:
        return spec_of(app.document)
    except SpecError:
        return None
