"""Keys of templates, as whoever proposes a spec finds them."""

from __future__ import annotations

from cluster.state.template import template_key
from orchestry.spec.parse import spec_of


def key_of(document: str) -> str:
    """The key of a stored document."""
    return template_key(spec_of(document))
