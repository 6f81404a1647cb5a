"""Manifests: YAML text to plain values, strictly; the only importer of PyYAML for input.

Scalars follow the core schema of YAML 1.2: only true and false are booleans, `010` and
`1:30` are text, so no value changes its meaning in silence.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from orchestry.errors import Code, OrchestryError

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

MANIFEST_BYTES_MAX: Final = 1024**2
DOCUMENTS_MAX: Final = 100
DEPTH_MAX: Final = 32
VALUES_MAX: Final = 100_000

_BOM = "\ufeff"


class ManifestError(OrchestryError):
    """Text that is no valid manifest; `line` counts from 1, 0 is the whole text."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(Code.INVALID_SPEC, f"line {line}: {message}" if line else message)
        self.line = line

    def __str__(self) -> str:
        return str(self.details)


class _Loader(_BaseLoader):
    """Plain values only; a repeated key is an error."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own name)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, once its keys are known to be different texts.

        Raises:
            ManifestError: a repeated key, or one that is not text.
        """
        seen = set()
        for key_node, _ in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                raise ManifestError("a key must be text; put it in quotes", line)
            if key in seen:
                raise ManifestError(f"the key {key[:64]!r} is given twice; keep one", line)
            seen.add(key)
        return super().construct_mapping(node, deep)


for _name, _expression, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,63})", list("-+0123456789")),
    (
        "float", r"[-+]?[0-9]{1,64}(?:\.[0-9]{0,64}(?:[eE][-+]?[0-9]{1,3})?|[eE][-+]?[0-9]{1,3})",
        list("-+0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_expression})\Z"), _first
    )


def load_documents(text: str) -> list[object]:
    """The documents of a YAML (or JSON) text; empty ones are left out.

    Raises:
        ManifestError: with the line, for a fault of syntax, a repeated key, an anchor or
            alias, a tag, or more than the limits of this module.
    """
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise ManifestError("must be valid Unicode text") from None
    if size_bytes > MANIFEST_BYTES_MAX:
        raise ManifestError(f"must be at most {MANIFEST_BYTES_MAX} bytes, not {size_bytes}")
    text = text.removeprefix(_BOM)
    try:
        _refuse_unsafe(text)
        documents = [part for part in yaml.load_all(text, _Loader) if part is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ManifestError(
            f"{error.problem or error.context}", mark.line + 1 if mark else 0
        ) from None
    except yaml.reader.ReaderError as error:
        raise ManifestError(
            f"holds the character {error.character!r}, which YAML does not allow"
        ) from None
    if not documents:
        raise ManifestError("is empty: must hold at least one document")
    return documents


def _refuse_unsafe(text: str) -> None:
    """Look at the events first: nothing is built before the text is known to be bounded."""
    depth = documents = values = 0
    for event in yaml.parse(text, _Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        values += isinstance(event, yaml.NodeEvent)
        if values > VALUES_MAX:
            raise ManifestError(f"must hold at most {VALUES_MAX} values", line)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > DOCUMENTS_MAX:
                raise ManifestError(f"must hold at most {DOCUMENTS_MAX} documents", line)
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ManifestError("anchors and aliases are not allowed; write the value out", line)
        elif getattr(event, "tag", None):
            raise ManifestError("tags are not allowed; write a plain value", line)
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise ManifestError(f"must be nested at most {DEPTH_MAX} levels deep", line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
