"""fit: whether the host could ever run a replica."""

from __future__ import annotations

from api.here import here
from api.writes import is_repeat
from orchestry.errors import Code, OrchestryError
from orchestry.spec.model import AppSpec


def must_fit(spec: AppSpec) -> None:
    """Refuse what not even an empty host could run; unknown sizes are not judged.

    Raises:
        OrchestryError: INSUFFICIENT_RESOURCES.
    """
    capacity = here().controller.capacity()
    if capacity is None or is_repeat():
        return
    if spec.resources.cpu_millicores > capacity.cpus * 1000:
        raise OrchestryError(
            Code.INSUFFICIENT_RESOURCES,
            f"spec.resources.cpu asks for {spec.resources.cpu_millicores}m a replica; "
            f"the host has {capacity.cpus * 1000}m",
        )
    if spec.resources.memory_bytes > capacity.memory_bytes:
        raise OrchestryError(
            Code.INSUFFICIENT_RESOURCES,
            f"spec.resources.memory asks for {spec.resources.memory_bytes} bytes a replica; "
            f"the host has {capacity.memory_bytes}",
        )
