"""pull_policy: whether a registry is asked, and which one image a name then stands for; pure."""

from __future__ import annotations

from typing import Literal

from cluster.engine.base import Image
from cluster.state.pins import Pin
from orchestry.admission import repository
from orchestry.spec.model import AppSpec

RETRY_MAX_S = 60.0
Policy = Literal["Always", "IfNotPresent", "Never", "Latest"]
"""As in specs. `Latest` is what holds for that tag when a spec names none: as Always, but an
image that was built on this host, and that no registry can know, is taken as it is."""


def policy_of(spec: AppSpec) -> Policy:
    """What holds for the image of a spec."""
    if spec.image_pull_policy:
        return spec.image_pull_policy
    name, at, _ = spec.image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Latest" if not at and tag in ("", "latest") else "IfNotPresent"


def policy_of_pin(pin: Pin, spec: AppSpec) -> Policy:
    """What holds for an image that is pinned already: only what is not here is asked for."""
    if spec.image_pull_policy == "Never" or not is_digest(pin.ref):
        return "Never"
    return "IfNotPresent"


def retry_delay_s(failures: int) -> float:
    """Seconds before an image is tried again that could not be had so often: 1, doubling to 60."""
    return min(2.0 ** min(failures - 1, 10), RETRY_MAX_S)


def must_pull(policy: Policy, here: Image | None) -> bool:
    """Whether a registry has to be asked, `here` being what the name stands for on this host."""
    if policy == "Latest" and here is not None:
        return bool(here.digests)
    return policy in ("Always", "Latest") or (policy == "IfNotPresent" and here is None)


def ref_of(name: str, image: Image) -> str:
    """How to say this very image: by the digest of its repository, or by its id without one."""
    _, at, digest = name.partition("@")
    if at:
        return f"{repository(name)}@{digest}"
    mine = repository(name)
    return next((one for one in image.digests if repository(one) == mine), image.id)


def is_digest(ref: str) -> bool:
    """True for what a registry can be asked for; an id means something on this host only."""
    return "@" in ref


def why_missing(name: str, pin: Pin | None) -> str:
    """Why an image that is not here is not pulled either."""
    if pin is not None and not is_digest(pin.ref):
        return (f"image {pin.image} of revision {pin.template} ({pin.ref[:19]}) is gone from this "
                f"host, and no registry has it: load it again, or restart the application, which "
                f"then takes what {pin.image} is")
    return (f"image {name} is not on this host, and `spec.imagePullPolicy` is Never: load it, or "
            "change the policy")
