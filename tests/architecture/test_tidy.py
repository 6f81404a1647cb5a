"""Size and habits of the source files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.files import PACKAGES, name, sources

FILE_LINES_MAX = 400
SUFFIXES = (".py", ".pyi", ".lua", ".sh", ".c", ".js", ".mjs", ".ts", ".mts", ".cts")
FUNCTION_LINES_MAX = 70
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(text: str) -> Iterator[Function]:
    """All functions of a module, nested ones too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield node


def test_files_are_short() -> None:
    """A file that nobody can hold in mind is split."""
    long = {
        name(path): lines
        for path in sources(*SUFFIXES)
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    }
    assert not long, f"more than {FILE_LINES_MAX} lines: {long}"


def test_functions_are_short() -> None:
    """A function fits on a screen."""
    long = {
        f"{name(path)}:{function.name}": lines
        for path in sources(".py")
        for function in functions(path.read_text())
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert not long, f"more than {FUNCTION_LINES_MAX} lines: {long}"


def test_nothing_is_left_for_later() -> None:
    """What is unfinished is not in the tree, so there is no note to finish it."""
    marks = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HAC[K])\b")
    found = [
        f"{name(path)}:{number}"
        for path in sources(*SUFFIXES)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not found


def test_every_module_and_every_test_says_what_it_is_for() -> None:
    """One sentence each."""
    silent = []
    for path in sources(".py"):
        text = path.read_text()
        if text and ast.get_docstring(ast.parse(text)) is None:
            silent.append(name(path))
        if path.name.startswith("test_"):
            silent += [
                f"{name(path)}:{function.name}" for function in functions(text)
                if function.name.startswith("test_") and ast.get_docstring(function) is None
            ]
    assert not silent


def test_no_test_is_skipped() -> None:
    """A test that does not run proves nothing; one that cannot run fails and says why."""
    marks = re.compile(r"mark\.(skip|skipif|xfail)\b|pytest\.(skip|xfail|importorskip)\(")
    found = [
        name(path) for path in sources(".py", folders=("tests",))
        if path.name != "test_tidy.py" and marks.search(path.read_text())
    ]
    assert not found


def test_packages_are_typed() -> None:
    """Users get our types."""
    assert all(
        any(path.parts[-2:] == (package, "py.typed") for path in sources(".typed"))
        for package in PACKAGES
    )
