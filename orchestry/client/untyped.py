"""How type checkers let through what was loaded from a file."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Unknown:
    """A value of which a type checker knows nothing."""


class Untyped(Protocol):
    """A mapping with values of type Any, such as `dict[str, Any]` from YAML.

    A dictionary that is written down in a program has values of known types, and is none: it
    must be what the call takes, which makes a checker tell the keys that are wrong.
    """

    def __getitem__(self, key: str, /) -> Unknown:
        """Anything."""


# As a variable, since a checker told of the bare protocol would look for it in what is written.
U = TypeVar("U", bound=Untyped)
