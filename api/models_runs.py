"""Paths and bodies of runs; like api/models.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.models import INDEX_MAX, AppPath, Body, Whole
from orchestry.spec.tables import WINDOW_MAX_S

RUN_S = 3600
WORDS_MAX = 100
WORD_CHARACTERS_MAX = 4096

Word = Annotated[str, Field(max_length=WORD_CHARACTERS_MAX, pattern=r"^[^\u0000]*$")]


class RunPath(AppPath):
    """A run in the path."""

    run_id: Whole = Field(ge=0, le=INDEX_MAX, description="The id of the run")


class RunBody(Body):
    """What is run once."""

    command: list[Word] = Field(
        min_length=1, max_length=WORDS_MAX,
        description="The program and its arguments, in place of the image's entrypoint",
        examples=[["python", "manage.py", "migrate"]])
    timeout_s: Annotated[int, Field(ge=1, le=WINDOW_MAX_S)] = Field(
        RUN_S, description="How long it may take, in seconds, from when it begins")
