"""Paths, queries and bodies about tokens and the audit; see api.models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.models import Body, EventId, ReadQuery, Since, Whole
from orchestry.access import APPS_PATTERN, EXPIRES_PATTERN, ID_PATTERN, NAME_PATTERN, Role


class AuditQuery(ReadQuery):
    """A page of the audit."""

    since: Since | None = Field(None, description="1h, 30m, 1d or an RFC 3339 time")
    limit: Whole = Field(100, ge=1, le=1000)
    before: EventId | None = Field(None, description="Entry id, for paging")


class TokenPath(BaseModel):
    """A token in the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_id: str = Field(pattern=ID_PATTERN, description="Id of the token")


class TokenBody(Body):
    """A token that is to be made; one of an admin is good for all applications."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra={"not": {
            "properties": {"role": {"const": "admin"}, "apps": {"type": "string"}},
            "required": ["role", "apps"]}})

    name: str = Field(pattern=NAME_PATTERN, description="Whose it is, or what it is for")
    role: Role = Field(description="What it may do")
    apps: str | None = Field(
        None, pattern=APPS_PATTERN,
        description="Good only for applications whose names begin so, such as `shop-`")
    expires_in: str | None = Field(
        None, pattern=EXPIRES_PATTERN,
        description="How long it is good, such as 12h or 90d; else for ever")
