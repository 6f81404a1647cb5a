"""Addresses of controllers."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def node_url(text: str) -> str:
    """A controller's address, normalised; raises ValueError with what would be right."""
    parts = urlsplit(text.strip())
    try:
        port = parts.port
    except ValueError:
        port = 0
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain \
            or parts.username is not None or port == 0:
        shown = re.sub(r"//.*@", "//...@", text)  # a password may be there
        raise ValueError(
            f"{shown!r} is no controller address; give one like http://127.0.0.1:8001"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or (443 if parts.scheme == 'https' else 80)}"


def redirect_target(node: str, location: str) -> str | None:
    """The controller that a redirect leads to; None when it is not followed from there."""
    try:
        found = node_url("{0.scheme}://{0.netloc}".format(urlsplit(location)))
    except ValueError:
        return None
    return None if exposes(node, found) else found


def exposes(node: str, named: str) -> bool:
    """Whether going on from one address at the other would give TLS up."""
    return node.startswith("https:") and not named.startswith("https:")
