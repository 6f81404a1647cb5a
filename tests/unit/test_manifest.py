"""Manifests: strict YAML, with the line of every fault."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestry.manifest import (
    DEPTH_MAX,
    DOCUMENTS_MAX,
    MANIFEST_BYTES_MAX,
    VALUES_MAX,
    ManifestError,
    load_documents,
)


def test_several_documents_are_read_in_order() -> None:
    """Documents come in the order of the text; empty ones and a byte order mark do not count."""
    assert load_documents("\ufeffa: 1\n---\n---\nb: [x, 2.5, true, null]\n") == [
        {"a": 1}, {"b": ["x", 2.5, True, None]},
    ]


def test_json_is_read_too() -> None:
    """A JSON file, indented by tabs as some editors do, is a manifest."""
    assert load_documents('{\n\t"a": [1,\n\t\t"2"]\n}\n') == [{"a": [1, "2"]}]


@pytest.mark.parametrize(
    "scalar", ["yes", "off", "010", "0x1F", "1:30", "1_000", "2026-11-25", ".nan", ".inf", "="]
)
def test_scalars_never_change_their_meaning(scalar: str) -> None:
    """What only old YAML takes for a boolean, number or date stays the text that it looks like."""
    assert load_documents(f"a: {scalar}\n") == [{"a": scalar}]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a:\n  b: {c: 1, c: 2}\n", 2, "twice"),
        ("a: &x 1\n", 1, "anchors"),
        ("a: 1\nb: *x\n", 2, "anchors"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "tags"),
        ("--- !app\na: 1\n", 1, "tags"),
        ("a: ! 1\n", 1, "tags"),
        ("1: a\n", 1, "quotes"),
        ("true: a\n", 1, "quotes"),
        ("[a]: b\n", 1, "quotes"),
        ("a:\n\t- 1\n", 2, "token"),
        ("a: b: c\n", 1, "mapping"),
        ("a: [1\n", 2, "expected"),
        ("x: " + "[" * 10_000, 1, "nest"),
        ("\n".join(" " * i + "a:" for i in range(DEPTH_MAX + 2)), DEPTH_MAX + 1, "nested"),
        ("--- a\n" * (DOCUMENTS_MAX + 1), DOCUMENTS_MAX + 1, "documents"),
        ("- 1\n" * (VALUES_MAX + 1), VALUES_MAX, "values"),
        ("", 0, "empty"),
        ("# nothing\n---\n", 0, "empty"),
        ("a: \x00\n", 0, "character"),
        ("a: \ud800\n", 0, "Unicode"),
        ("a" * (MANIFEST_BYTES_MAX + 1), 0, "bytes"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_faults_name_their_line(text: str, line: int, word: str) -> None:
    """A refused manifest tells the line and what is wrong there."""
    with pytest.raises(ManifestError, match=word) as caught:
        load_documents(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: ") == (line > 0)


@given(st.text(alphabet="ab:-[]{}?!&*'\"|>%@`#, \n\t\\\x00\ud800é0.", max_size=40))
@example("- : 1")
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    """No text makes anything but documents or a ManifestError."""
    refusal = ""
    documents: list[object] = []
    try:
        documents = load_documents(text)
    except ManifestError as error:
        refusal = str(error)
    assert bool(documents) != bool(refusal)
