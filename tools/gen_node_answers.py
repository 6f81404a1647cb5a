"""Write the types of what the Node client sends and is answered, as tools/gen_answers.py does."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tools.answers import (
    ROOT,
    Language,
    Schema,
    Types,
    answer_types,
    fields_of,
    imports_of,
    sentence,
)

HOME = ROOT / "sdk" / "node" / "src" / "answers"
MADE = "/** {} Written by tools/gen_node_answers.py; do not edit. */\n"
TYPESCRIPT = Language(
    lambda words: " | ".join(f"'{word}'" for word in words),
    lambda item: f"{item}[]" if re.fullmatch(r"\w+", item) else f"({item})[]",
    "Record<string, {}>".format,
    {"string": "string", "integer": "number", "number": "number", "boolean": "boolean",
     "null": "null", "object": "Record<string, unknown>", None: "unknown"})


def files() -> dict[Path, str]:
    """Path -> text of all that is written."""
    types = answer_types()
    made = {HOME / f"{home}.d.ts": _module(home, types) for home in types.homes}
    made[HOME / "index.d.ts"] = MADE.format("What calls answer.") + "".join(
        f"export * from './{home}.js';\n" for home in sorted(types.homes))
    made[HOME.parent / "bodies.d.ts"] = MADE.format("What calls send.") + _types(
        "bodies", types.bodies, types, "./answers")
    return made


def _module(home: str, types: Types) -> str:
    """The types of one module of the API."""
    return MADE.format(f"Answers about {home}.") + _types(home, types.homes[home], types, ".")


def _types(home: str, own: list[str], types: Types, folder: str) -> str:
    imports = "".join(
        f"import type {{ {', '.join(names)} }} from '{folder}/{other}.js';\n"
        for other, names in imports_of(home, types).items())
    return imports + "".join(
        text for name in own for text in _interfaces(name, types.schemas[name]))


def _interfaces(name: str, schema: Schema) -> Iterator[str]:
    """An interface, after those of the objects in it that have no name of their own."""
    nested: dict[str, Schema] = {}
    fields = [
        f"{key}{'' if always else '?'}: {kind};"
        for key, kind, always in fields_of(name, schema, nested, TYPESCRIPT)]
    for inner, its in nested.items():
        yield from _interfaces(inner, its)
    told = sentence(schema)
    # Several in a line, each with its words kept together.
    body = textwrap.fill(
        " ".join(field.replace(" ", "\0") for field in fields), 98, break_long_words=False,
        break_on_hyphens=False, initial_indent="  ", subsequent_indent="  ")
    lines = [
        line if len(line) <= 98 else line.replace(" | ", "\n    | ")
        for line in body.replace("\0", " ").split("\n")]
    yield ("\n" + (f"/** {told} */\n" if told else "")
           + f"export interface {name} {{\n" + "\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    HOME.mkdir(exist_ok=True)
    for one, content in files().items():
        one.write_text(content)
