"""Paths and bodies about the cluster itself; see api.models."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.bodies import PART_BODY_BYTES_MAX
from api.models import INDEX_MAX, NAME_PATTERN, Body

ADDRESS_PATTERN = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$"


class MemberPath(BaseModel):
    """A controller in the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node_id: str = Field(pattern=NAME_PATTERN, description="Id of the controller")


class MemberBody(Body):
    """A controller that is to vote."""

    node_id: str = Field(pattern=NAME_PATTERN)
    raft_address: str = Field(
        max_length=260, description="host:port for the other controllers",
        examples=["10.0.0.4:8101"], json_schema_extra={"pattern": ADDRESS_PATTERN})


class TransferBody(Body):
    """Hand leadership over; the key is optional."""

    to: str | None = Field(None, pattern=NAME_PATTERN, description="Id of the next leader")


class DrillBody(Body):
    """Let the leader fail on purpose; it ends by itself."""

    fault: Literal["leader-kill", "partition", "db-down"] = Field(
        description="leader-kill: the leader dies; partition: it is cut off from the other "
        "controllers; db-down: it takes PostgreSQL for unreachable")
    term: int = Field(ge=0, le=INDEX_MAX, description="The term of the leader that is meant")
    seconds: int = Field(10, ge=1, le=60, description="How long; a dead leader stays dead")


class RestoreBody(Body):
    """A part of a backup."""

    bytes_max: ClassVar[int] = PART_BODY_BYTES_MAX
    restore_id: str = Field(pattern=r"^[\x21-\x7e]{1,64}$", description="The same for all parts")
    adopt: bool = Field(False, description="Take over the containers of the lost cluster")
    part: dict[str, Any] = Field(description="One line of the backup")
