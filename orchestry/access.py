"""Access: roles, and what tokens may be called; pure."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["viewer", "deployer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most: each may do what those before it may."""

TOKEN_CHARACTERS_MAX = 256
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?$"
APPS_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
ID_PATTERN = r"^[a-z0-9-]{1,64}$"
HASH_PATTERN = r"^[0-9a-f]{64}$"
EXPIRES_PATTERN = r"^[1-9]([0-9]{0,7}s|[0-9]{0,5}m|[0-9]{0,3}h|[0-9]{0,2}d)$"
"""About three years at most."""


def at_least(role: Role, wanted: Role) -> bool:
    """True when `role` may do what `wanted` may."""
    return ROLES.index(role) >= ROLES.index(wanted)
