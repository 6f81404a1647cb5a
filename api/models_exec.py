"""What clients of a command in a container ask for and say; like api/models.py."""

from __future__ import annotations

from typing import Annotated, Literal, NoReturn

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from api import errors
from api.models import Body, Slot, StreamQuery
from api.models_runs import WORDS_MAX, Word
from cluster.engine.execution import ExecOrder, Size
from orchestry.errors import Code, OrchestryError

MESSAGE_BYTES_MAX = 64 * 1024
"""Of a client."""
INPUT = 0
"""The first byte of a binary message: its channel."""

Cells = Annotated[int, Field(ge=1, le=1000)]


class ExecQuery(StreamQuery):
    """In which container."""

    replica: Slot | None = Field(
        None, description="Number of the replica: 2 for shop-2; by default the first healthy one")


class Terminal(Body):
    """The size of a terminal, in characters."""

    rows: Cells
    columns: Cells


class Start(Body):
    """The first message: what to run."""

    type: Literal["start"]
    command: list[Word] = Field(min_length=1, max_length=WORDS_MAX)
    stdin: bool = False
    terminal: Terminal | None = None

    def order(self) -> ExecOrder:
        """For the engine."""
        size = self.terminal
        return ExecOrder(tuple(self.command), self.stdin,
                         None if size is None else Size(size.rows, size.columns))


class Resize(Body):
    """The terminal has another size now."""

    type: Literal["resize"]
    terminal: Terminal


class EndOfInput(Body):
    """No more input comes."""

    type: Literal["eof"]


Said = Resize | EndOfInput | bytes
"""What comes after the first message; bytes are input."""
_LATER: TypeAdapter[Resize | EndOfInput] = TypeAdapter(
    Annotated[Resize | EndOfInput, Field(discriminator="type")])


def start_of(binary: bool, data: bytes) -> Start:
    """The first message; raises OrchestryError with every fault."""
    if binary or not data:
        raise errors.invalid([("type", 'the first message must be text with "type": "start"')])
    try:
        found = Start.model_validate_json(data)
    except ValidationError as error:
        _refuse(error)
    if not found.command[0]:
        raise errors.invalid([("command[0]", "must be the name of a program")])
    return found


def said_of(binary: bool, data: bytes) -> Said:
    """A later message; raises OrchestryError."""
    if binary:
        if data[:1] != bytes([INPUT]):
            raise errors.invalid([("", f"a binary message must begin with the byte {INPUT}")])
        return data[1:]
    try:
        return _LATER.validate_json(data)
    except ValidationError as error:
        _refuse(error)


def error_message(code: Code, details: object) -> bytes:
    """What a client is told when something goes wrong."""
    kind = code.value
    return orjson.dumps({"type": "error", "code": kind.code, "error": kind.title,
                         "details": details, "remedy": kind.remedy})


def _refuse(error: ValidationError) -> NoReturn:
    raise OrchestryError(Code.VALIDATION_ERROR, [
        {"field": ".".join(map(str, fault["loc"]))[:200], "message": fault["msg"]}
        for fault in error.errors(include_url=False, include_input=False)[:20]]) from None
