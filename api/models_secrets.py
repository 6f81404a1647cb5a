"""Paths, queries and bodies about secrets of applications; see api.models."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from api.models import Body, Flag, WriteQuery
from cluster.sealing import plain
from cluster.state.secret_uses import VALUE_FIELD

NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$"
FIELD_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"
VALUE_PATTERN = r"^[^\x00]*$"
FIELDS_MAX = 16
VALUES_BYTES_MAX = 64 * 1024
_ONE_OF = "give `value` or `values`: exactly one of the two"


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text that can be written as UTF-8") from None
    if "\0" in value:
        raise ValueError("must be text without NUL")
    return value


Value = Annotated[str, AfterValidator(_text), Field(
    max_length=VALUES_BYTES_MAX,
    json_schema_extra={"writeOnly": True, "format": "password", "pattern": VALUE_PATTERN})]


class SecretPath(BaseModel):
    """A secret in the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_name: str = Field(
        pattern=NAME_PATTERN, description="Name of the secret", examples=["shop-database"])


class SecretDeleteQuery(WriteQuery):
    """How to remove a secret."""

    force: Flag = Field(False, description="Also while applications use it")


def _exactly_one(schema: dict[str, Any]) -> None:
    """One key and no other; a key that is left out is not null."""
    schema.update({"minProperties": 1, "maxProperties": 1})
    for part in schema["properties"].values():
        part.update(next(kind for kind in part.pop("anyOf") if kind != {"type": "null"}))
        del part["default"]
    values = schema["properties"]["values"]
    values.update({"patternProperties": {FIELD_PATTERN: values["additionalProperties"]},
                   "additionalProperties": False})


class SecretBody(Body):
    """The next version of a secret, with all its fields: exactly one of the two keys."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra=_exactly_one)

    value: Value | None = Field(None, description="The value of its only field, `value`")
    values: dict[str, Value] | None = Field(
        None, description="Its values by field", min_length=1, max_length=FIELDS_MAX)

    @field_validator("values")
    @classmethod
    def _named(cls, values: dict[str, str] | None) -> dict[str, str] | None:
        """Raises ValueError, which has no value in it either."""
        if any(re.fullmatch(FIELD_PATTERN, name) is None for name in values or ()):
            raise ValueError(
                "must have names of 1-64 characters of A-Z, a-z, 0-9, ., _ and -, with a letter or "
                "a digit at both ends")
        return values

    @model_validator(mode="after")
    def _fits(self) -> SecretBody:
        """Raises ValueError, which never has a value in it."""
        if len(self.model_fields_set) != 1 or (self.value is None and self.values is None):
            raise ValueError(_ONE_OF)
        if len(plain(self.fields)) > VALUES_BYTES_MAX:
            raise ValueError(f"all values together must be at most {VALUES_BYTES_MAX} bytes")
        return self

    @property
    def fields(self) -> dict[str, str]:
        """The values by field."""
        found: dict[str, Any] = self.values or {VALUE_FIELD: self.value}
        return found
