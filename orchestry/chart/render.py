"""From templates and values to files; pure, and the only importer of Jinja2.

A chart may come from anyone. Templates see their values and nothing else: the sandbox
refuses Python's insides and changes of values, an unknown name is an error, and there is no
loader of files. What a sandbox cannot bound, time and memory, `guard` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import jinja2
import yaml
from jinja2 import debug as _  # noqa: F401 - else loaded in the middle of an error
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestry.chart import schema
from orchestry.chart.model import (
    FILES_MAX,
    OUTPUT_BYTES_MAX,
    TEMPLATES_MAX,
    Chart,
    ChartError,
)
from orchestry.chart.values import NUL, check_values

RANGE_MAX: Final = 1000
INDENT_MAX: Final = 64
SUFFIX: Final = ".j2"
PATH_CHARACTERS_MAX: Final = 200

_PART = re.compile(r"[A-Za-z0-9@._-]{1,100}")
_MARK = re.compile(rf"{NUL}file ([^{NUL}\n]*){NUL}\n?")
_LEFT_OUT = ("random", "pprint", "urlize")


class _RefusedError(Exception):
    """A helper refuses what a template asks for; the text is for the user."""


class _Environment(ImmutableSandboxedEnvironment):
    """Keys of values come before methods: `values.items` is the key of that name."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The key, else what the sandbox allows."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def rendered(chart: Chart, values: Mapping[str, Any]) -> dict[str, str]:
    """Every file of the chart, by its path. ChartError tells every fault of the values.

    Meant for charts that are trusted to end, and for the process of `guard`.
    """
    check_values(values)
    problems = schema.faults(chart.schema, values) if chart.schema is not None else []
    if len(chart.templates) > TEMPLATES_MAX:
        problems.append(("templates", f"must be at most {TEMPLATES_MAX}"))
    if problems:
        raise ChartError(problems)
    environment = _environment(chart)
    compiled = _compiled(environment, chart)
    files: dict[str, str] = {}
    room_bytes = OUTPUT_BYTES_MAX
    variables = {"values": values, "chart": {"name": chart.name, "version": chart.version}}
    for name, template in compiled.items():
        if name.rpartition("/")[2].startswith("_"):
            continue
        text = _one(chart, name, template, variables, room_bytes)
        room_bytes -= len(text.encode())
        for path, part in _parts(name, text):
            if path in files:
                problems.append((name, f"renders {path}, which is there already"))
            files[path] = part
    if len(files) > FILES_MAX:
        problems.append(("templates", f"must render at most {FILES_MAX} files"))
    if problems:
        raise ChartError(problems)
    return files


def _environment(chart: Chart) -> _Environment:
    def source(name: str) -> tuple[str, str, None] | None:
        text = chart.templates.get(name)
        return None if text is None else (text, name, None)

    environment = _Environment(
        loader=jinja2.FunctionLoader(source), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, cache_size=TEMPLATES_MAX)
    environment.globals = {
        "range": _range, "dict": dict, "namespace": environment.globals["namespace"],
        "file": _file, "fail": _fail, "required": _required}
    for name in _LEFT_OUT:
        environment.filters.pop(name, None)
    environment.filters |= {
        "quote": _quote, "indent": _indent, "nindent": lambda text, width: "\n" + _indent(
            text, width, first=True),
        "to_yaml": _to_yaml, "to_json": _to_json, "required": _required_filter}
    return environment


def _compiled(environment: _Environment, chart: Chart) -> dict[str, jinja2.Template]:
    """All templates; those that only others import are compiled as well, to find their faults."""
    compiled, problems = {}, []
    for name in sorted(chart.templates):
        try:
            compiled[name] = environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            problems.append((f"templates/{error.name or name}:{error.lineno}",
                             error.message or "is no template"))
        except Exception as error:  # Python's own compiler gives up in many ways
            problems.append((f"templates/{name}", f"cannot be compiled: {_reason(error)}"))
    if problems:
        raise ChartError(problems)
    return compiled


def _one(
    chart: Chart, name: str, template: jinja2.Template, variables: Mapping[str, Any],
    room_bytes: int,
) -> str:
    """One template's output. Whatever its code raises is a fault of the template."""
    parts = []
    try:
        for part in template.generate(variables):
            room_bytes -= len(part.encode())
            if room_bytes < 0:
                raise _RefusedError(f"renders too much: at most {OUTPUT_BYTES_MAX} bytes in all")
            parts.append(part)
    except Exception as error:
        raise ChartError.at(_place(chart, name, error), _reason(error)) from None
    return "".join(parts)


def _place(chart: Chart, name: str, error: BaseException) -> str:
    """The template and the line in which an error came up."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"templates/{error.name or name}:{error.lineno}"
    place, trace, steps = f"templates/{name}", error.__traceback__, 0
    while trace is not None and steps < RANGE_MAX:
        file = trace.tb_frame.f_code.co_filename
        if file in chart.templates:
            place = f"templates/{file}:{trace.tb_lineno}"
        trace, steps = trace.tb_next, steps + 1
    return place


def _reason(error: BaseException) -> str:
    """What went wrong, for users: no names of Python's classes where there are better words."""
    if isinstance(error, jinja2.TemplateNotFound):
        return f"asks for the template {str(error.name)[:80]!r}, which the chart does not have"
    if isinstance(error, jinja2.UndefinedError | jinja2.TemplateError | _RefusedError):
        return str(error.args[0] if error.args else error)[:500]
    if isinstance(error, RecursionError):
        return "goes round in circles, or is nested too deep"
    if isinstance(error, MemoryError):
        return "needs too much memory"
    return f"fails: {str(error)[:200] or type(error).__name__}"


def _parts(name: str, text: str) -> Iterator[tuple[str, str]]:
    """The files of one template's output; without `file()` it is one, named as the template.

    Blank output is no file, so that a template may leave itself out.
    """
    own, *rest = _MARK.split(text)
    if NUL in own or any(NUL in part for part in rest):
        raise ChartError.at(f"templates/{name}", "renders the character NUL")
    if not rest and text.strip():
        yield _checked(name, name.removesuffix(SUFFIX)), own
    elif own.strip():
        raise ChartError.at(f"templates/{name}", "has text before its first file(): "
                           f"{own.strip()[:60]!r}")
    for path, part in zip(rest[::2], rest[1::2], strict=True):
        yield _checked(name, path), part


def _checked(name: str, path: str) -> str:
    parts = path.split("/")
    good = all(_PART.fullmatch(part) and part not in (".", "..") for part in parts)
    if not good or len(path) > PATH_CHARACTERS_MAX:
        raise ChartError.at(f"templates/{name}", f"cannot write to {path[:80]!r}: a path has names "
                           "of letters, digits and @._- between single slashes")
    return path


# -- what templates may call ---------------------------------------------------------------


def _range(*limits: int) -> range:
    numbers = range(*limits)
    if len(numbers) > RANGE_MAX:
        raise _RefusedError(f"range() must have at most {RANGE_MAX} numbers")
    return numbers


def _file(path: object) -> str:
    text = str(path)
    if NUL in text or "\n" in text:
        raise _RefusedError("file() needs a path of one line")
    return f"{NUL}file {text}{NUL}"


def _fail(message: object) -> NoReturn:
    raise _RefusedError(str(message))


def _required(message: object, value: object) -> object:
    if isinstance(value, jinja2.Undefined) or value is None or value == "":
        raise _RefusedError(str(message))
    return value


def _required_filter(value: object, message: object) -> object:
    return _required(message, value)


def _defined(value: object) -> object:
    """`value`; an undefined one raises its own error."""
    if isinstance(value, jinja2.Undefined):
        str(value)
    return value


def _quote(value: object) -> str:
    """As a double-quoted scalar of YAML, which JSON's texts are."""
    text = value if isinstance(value, str) else _to_json(value)
    return json.dumps(text, ensure_ascii=False)


def _to_json(value: object) -> str:
    return json.dumps(_defined(value), ensure_ascii=False, allow_nan=False)


def _to_yaml(value: object) -> str:
    text = yaml.safe_dump(_defined(value), sort_keys=False, allow_unicode=True,
                          default_flow_style=False, width=1_000_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _indent(text: object, width: int = 4, first: bool = False) -> str:
    if not 0 <= width <= INDENT_MAX:
        raise _RefusedError(f"the width of an indentation must be 0 to {INDENT_MAX}")
    lines = str(_defined(text)).split("\n")
    pad = " " * width
    return "\n".join(
        pad + line if line and (number or first) else line for number, line in enumerate(lines))
