"""What goes with apps that are deleted, said before."""

from __future__ import annotations

from orchestry.cli.output import printable
from orchestry.cli.session import Session
from orchestry.client.answers.volumes import Volume
from orchestry.errors import OrchestryError

NAMED_MAX = 8


def volumes_of(session: Session, *apps: str) -> str:
    """The volumes that a deletion of these would remove, as far as the cluster can tell."""
    whose = "its" if len(apps) == 1 else "their"
    volumes: list[Volume] = []
    for app in apps:
        try:
            volumes += session.client.list_volumes(app)["volumes"]
        except OrchestryError:
            return f"{whose} volumes"
    names = [one["name"] for one in volumes if one.get("goes_with_app", True)]
    staying = len(volumes) - len(names)
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    text = f"{whose} volumes {', '.join(names[:NAMED_MAX])}{more}" if names else "no volume"
    return printable(
        text + (f" ({staying} of an earlier app of this name stay)" if staying else ""))
