"""Schemas of others, as they were published, for what we write in their formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft7Validator

_FOLDER = Path(__file__).parent


def cyclonedx() -> Draft7Validator:
    """CycloneDX 1.5 (Apache-2.0), of which we use neither licences nor signatures."""
    schema = json.loads((_FOLDER / "cyclonedx-1.5.json").read_text())
    never: dict[str, Any] = {"not": {}, "definitions": {"signature": {"not": {}}}}
    return Draft7Validator(schema, retriever=lambda uri: never)
