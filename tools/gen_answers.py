"""Write the types of what the Python client sends and is answered, from the API's models."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestry.client.calls import Calls
from tools.answers import (
    ROOT,
    STREAMS,
    Language,
    Schema,
    Types,
    answer_types,
    fields_of,
    imports_of,
    sentence,
)

HOME = ROOT / "orchestry" / "client"
RUFF = Path(sysconfig.get_path("scripts")) / "ruff"
# Without annotations of the future, in which TypedDict does not find NotRequired.
MADE = """\
\"\"\"{}

Written by tools/gen_answers.py; do not edit.
\"\"\"
"""
PYTHON = Language(
    lambda words: f"Literal[{', '.join(map(json.dumps, words))}]", "list[{}]".format,
    "dict[str, {}]".format,
    {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
     "object": "dict[str, Any]", None: "Any"})
# What a stream is read from.
HANDLES = {"Response": """\
from orchestry.client.calls import Calls
from orchestry.client.connections import Response""", "Stream": """\
from orchestry.client.async_transport import Stream
from orchestry.client.calls import Calls"""}
# The one call with two answers.
LISTS = """
    @overload
    def list_apps(
        self, status: str | None = None, format: Literal["json"] | None = None
    ) -> {0}: ...
    @overload
    def list_apps(
        self, status: str | None = None, *, format: Literal["summary"]
    ) -> {1}: ...
    @overload
    def list_apps(
        self, status: str | None = None, format: str | None = None
    ) -> {2}: ...
"""


# How a call takes what users write: each line is one overload, and what it takes by argument.
# The first one that it could be is what a type checker tells the faults of.
TAKES: dict[str, list[dict[str, str]]] = {
    "register_app": [{"spec": "answers.AppSpec | U"}, {"spec": "answers.JobSpec | U"}],
    "update_app": [{"spec": "answers.AppSpec | U"}, {"spec": "answers.JobSpec | U"}],
    "update_scaling_policy": [{"policy": "bodies.PolicyChanges | U"}, {"policy": "answers.Policy"}],
    "simulate_scaling": [{"policy": "bodies.PolicyChanges | U | None",
                          "samples": "Sequence[bodies.Sample | answers.HistoryPoint | U] | None"}],
    "update_config": [{"changes": "bodies.ConfigChanges | U"}],
    "apply_release": [{"specs": "Sequence[answers.AppSpec | answers.JobSpec | U]"}],
}


def files() -> dict[Path, str]:
    """Path -> text of all that is written."""
    types = answer_types()
    answers = HOME / "answers"
    made = {answers / f"{home}.py": _module(home, types) for home in types.homes}
    made[answers / "__init__.py"] = _package(types)
    made[HOME / "bodies.py"] = _bodies(types)
    made[HOME / "blocking_calls.pyi"] = _calls(
        types, "BlockingCalls", "Client", "Response", "answers.{}")
    made[HOME / "async_calls.pyi"] = _calls(
        types, "AsyncCalls", "AsyncClient", "Stream", "Coroutine[Any, Any, answers.{}]")
    return {path: _formatted(path, text) for path, text in made.items()}


def _module(home: str, types: Types) -> str:
    """The types of one module of the API."""
    return MADE.format(f"Answers about {home}.") + _types(home, types.homes[home], types)


def _bodies(types: Types) -> str:
    """The types of what is sent."""
    told = "What calls send: `from orchestry.client.bodies import PolicyChanges`."
    return MADE.format(told) + _types("bodies", types.bodies, types)


def _types(home: str, own: list[str], types: Types) -> str:
    body = "".join(text for name in own for text in _classes(name, types.schemas[name]))
    words = _used(body, ("Any", "Literal", "NotRequired", "TypedDict"))
    imports = [f"\nfrom typing import {words}\n\n"] + [
        f"from orchestry.client.answers.{other} import {', '.join(names)}\n"
        for other, names in imports_of(home, types).items()]
    return "".join(imports) + body


def _classes(name: str, schema: Schema) -> Iterator[str]:
    """A TypedDict, after those of the objects in it that have no name of their own."""
    nested: dict[str, Schema] = {}
    lines = [
        f"    {key}: {kind if always else f'NotRequired[{kind}]'}\n"
        for key, kind, always in fields_of(name, schema, nested, PYTHON)]
    for inner, its in nested.items():
        yield from _classes(inner, its)
    told = sentence(schema) or "A part of a spec."
    yield f'\n\nclass {name}(TypedDict):\n    """{told}"""\n\n{"".join(lines)}'


def _package(types: Types) -> str:
    """All names in one place."""
    imports = "".join(
        f"from orchestry.client.answers.{home} import {', '.join(sorted(names, key=str.lower))}\n"
        for home, names in sorted(types.homes.items()))
    names = sorted(name for names in types.homes.values() for name in names)
    return (MADE.format("What calls answer: `from orchestry.client.answers import AppStatus`.")
            + "\n" + imports + f"\n__all__ = {names!r}\n")


def _calls(types: Types, name: str, client: str, stream: str, answer: str) -> str:
    """The calls of one client with their answers; how they are made is in `Calls`."""
    body = "".join(
        LISTS.format(answer.format("AppList"), answer.format("AppTotals"),
                     answer.format("AppList | answers.AppTotals"))
        if call == "list_apps" else _call(call, answer.format(types.calls[call]))
        for call in types.calls if call not in STREAMS)
    return MADE.format(f"The calls of `{client}`, with the types of their answers.") + f"""
from abc import ABCMeta
from collections.abc import {_used(body, ("Coroutine", "Mapping", "Sequence"))}
from typing import {_used(f"Any {body}", ("Any", "Literal", "overload"))}

from orchestry.client import answers, bodies
{HANDLES[stream]}
from orchestry.client.untyped import U

class {name}(Calls[Any, {stream}], metaclass=ABCMeta):
{body}"""


def _call(call: str, answer: str) -> str:
    """One call, or its overloads."""
    ways = TAKES.get(call, [{}])
    above = "    @overload\n" if len(ways) > 1 else ""
    return "".join(
        f"{above}    def {call}{_parameters(call, way)} -> {answer}: ...\n" for way in ways)


def _parameters(call: str, takes: Mapping[str, str]) -> str:
    """As they are in `Calls`, with their defaults, but for what is said to be taken."""
    signature = inspect.signature(getattr(Calls, call))
    signature = signature.replace(parameters=[
        one.replace(annotation=takes.get(name, one.annotation))
        for name, one in signature.parameters.items()])
    told = str(signature.replace(return_annotation=inspect.Signature.empty))
    return re.sub(r": '([^']+)'", r": \1", told)


def _used(text: str, names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names) & set(re.findall(r"\w+", text))))


def _formatted(path: Path, text: str) -> str:
    done = subprocess.run(
        [RUFF, "format", "--line-length", "100", "--stdin-filename", path, "-"], input=text,
        capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


if __name__ == "__main__":
    for one, content in files().items():
        one.parent.mkdir(exist_ok=True)
        one.write_text(content)
