"""Admission: which images and hosts a cluster's administrators allow, as patterns; pure.

An image is compared by the full name of its repository, so that `nginx` and
`docker.io/library/nginx:1.27` are one. A pattern is such a name, or the beginning of names up
to a slash, with `*` behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from orchestry.spec import grammar
from orchestry.spec.model import AppSpec
from orchestry.spec.shapes import Problem

PATTERNS_MAX: Final = 256
ANY: Final = "*"
MASK: Final = "********"

_REGISTRY: Final = "docker.io"
_OFFICIAL: Final = "library"
_ALIASES: Final = ("index.docker.io", "registry-1.docker.io")
_SECRET_WORDS: Final = (
    "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "AUTHORIZATION", "COOKIE",
    "DATABASEURL", "DSN", "APIKEY", "ACCESSKEY", "PRIVATEKEY",
)


def repository(image: str) -> str:
    """The full name of an image's repository: registry, path, no tag and no digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = _REGISTRY, name
    if first in _ALIASES:
        first = _REGISTRY
    if first == _REGISTRY and "/" not in rest:
        rest = f"{_OFFICIAL}/{rest}"
    return f"{first.lower()}/{rest}"


def full_name(image: str) -> str:
    """An image's repository with its digest, or with the tag that it stands for without one."""
    name, at, digest = image.partition("@")
    if at:
        return f"{repository(name)}@{digest}"
    return f"{repository(name)}:{name.rpartition('/')[2].partition(':')[2] or 'latest'}"


def registry_of(image: str) -> str:
    """The host of the registry that an image comes from, with its port; `docker.io` without."""
    return repository(image).partition("/")[0]


def image_pattern(value: str) -> str:
    """A pattern of images in its full form.

    Raises:
        ValueError: saying what would be right.
    """
    if value == ANY:
        return value
    stem = value.removesuffix("/*")
    try:
        if "@" in stem or (":" in stem.rpartition("/")[2] and (stem == value or "/" in stem)):
            raise ValueError(value)
        if stem != value and "/" not in stem and _is_registry(stem):
            grammar.image(f"{stem}/x")
            return f"{_REGISTRY if stem in _ALIASES else stem.lower()}/*"
        grammar.image(stem)
    except ValueError:
        raise ValueError(
            'must be a repository like "registry.example/team/shop", all below one like '
            '"registry.example/team/*" or "docker.io/library/*", or "*"; no tag') from None
    if stem == value:
        return repository(stem)
    full = repository(f"{stem}/x").removesuffix("/x")
    return f"{full}/*"


def _is_registry(name: str) -> bool:
    return "." in name or ":" in name or name == "localhost"


def host_pattern(value: str) -> str:
    """A host, or `*.` and a host for all below it.

    Raises:
        ValueError: saying what would be right.
    """
    try:
        grammar.host(value.removeprefix("*."))
    except ValueError:
        raise ValueError(
            'must be a host like "admin.example.org", or "*.example.org" for all below it'
        ) from None
    return value


def is_image_allowed(image: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns has the image; without patterns, every image is allowed."""
    name = repository(image)
    return not patterns or any(
        pattern in (ANY, name)
        or (pattern.endswith("/*") and name.startswith(pattern.removesuffix("*")))
        for pattern in patterns
    )


def is_registry_allowed(host: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns has images of this registry."""
    return not patterns or any(
        pattern == ANY or pattern.partition("/")[0] == host for pattern in patterns)


def is_host_reserved(host: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns has the host."""
    return any(
        host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))
        for pattern in patterns
    )


def objections(
    spec: AppSpec, hosts: Sequence[str], *, images: Sequence[str], reserved: Sequence[str]
) -> tuple[Problem, ...]:
    """Why administrators do not allow an app, by field; `hosts` are those that it would have."""
    found = []
    if not is_image_allowed(spec.image, images):
        found.append(Problem(
            "spec.image", f"{repository(spec.image)} is not among the images that this cluster "
            "allows: use one of them, or ask an administrator to add it to limits.images"))
    for number, host in enumerate(hosts):
        if is_host_reserved(host, reserved):
            at = f"spec.ingress.hosts[{number}]" if spec.ingress.hosts else "metadata.name"
            found.append(Problem(
                at, f"{host} is reserved on this cluster: use another host, or ask an "
                "administrator to take it out of limits.reserved_hosts"))
    return tuple(found)


def is_secret_name(name: str) -> bool:
    """Whether a variable or header of this name most likely holds a secret."""
    folded = name.upper().replace("_", "").replace("-", "")
    return folded.endswith("KEY") or any(word in folded for word in _SECRET_WORDS)


def masked(document: Any) -> Any:
    """A spec's document without the values of variables and headers that look like secrets."""
    result = dict(document)
    section = result.get("spec")
    if isinstance(section, dict):
        result["spec"] = {
            key: _masked_values(part) if key in ("environment", "env") else part
            for key, part in section.items()
        }
    check = result.get("healthCheck")
    if isinstance(check, dict) and "headers" in check:
        result["healthCheck"] = check | {"headers": _masked_values(check["headers"])}
    return result


def _masked_values(entries: Any) -> Any:
    return [
        entry | {"value": MASK}
        if "value" in entry and is_secret_name(str(entry.get("name", ""))) else entry
        for entry in entries
    ] if isinstance(entries, list) else entries
