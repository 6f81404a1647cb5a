"""Paths and bodies about logins of registries; see api.models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.models import Body

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PORT = ":[1-9][0-9]{0,4}"
HOST_PATTERN = rf"^(localhost({_PORT})?|{_LABEL}(\.{_LABEL})+({_PORT})?|{_LABEL}{_PORT})$"
"""As in images: a name without a dot and without a port would be an account of the hub."""
PASSWORD_CHARACTERS_MAX = 8192


class RegistryPath(BaseModel):
    """A registry in the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registry_host: str = Field(
        pattern=HOST_PATTERN, max_length=255, examples=["registry.example:5000"],
        description="Host of the registry as images name it, with its port; docker.io for the hub")


class RegistryBody(Body):
    """How the registry knows the cluster."""

    username: str = Field(
        min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f:]*$",
        description="Name of the account, or what the registry wants in front of a token")
    password: Annotated[str, Field(
        min_length=1, max_length=PASSWORD_CHARACTERS_MAX, pattern=r"^[^\x00-\x1f\x7f]*$",
        json_schema_extra={"writeOnly": True, "format": "password"},
        description="Its password, or a token; nobody reads it back")]
