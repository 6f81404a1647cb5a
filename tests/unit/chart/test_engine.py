"""The chart engine: folders, values, schemas, templates, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestry.chart import ChartError, check_output, load_chart, merged, parse_set
from orchestry.chart.guard import render_guarded
from orchestry.chart.model import APP, FILES, OUTPUT_BYTES_MAX, Chart
from orchestry.chart.render import RANGE_MAX, rendered

SPEC = """\
apiVersion: v1
kind: App
metadata: {name: {{ values.name }}}
spec: {image: "web:1", ports: [{containerPort: 80}]}
"""


def of(*templates: str, kind: str = FILES, **more: str) -> Chart:
    """A chart of templates t0.j2, t1.j2, ..., and named ones (`_` for the dot)."""
    named = {f"t{number}.j2": text for number, text in enumerate(templates)}
    named |= {name.replace("__", "."): text for name, text in more.items()}
    return Chart("c", "1.0.0", kind, named)


def text_of(template: str, values: Mapping[str, Any] | None = None) -> str:
    """What one template renders."""
    return rendered(of(template), values or {})["t0"]


def refusal(template: str, values: Mapping[str, Any] | None = None) -> str:
    """Why one template is refused."""
    with pytest.raises(ChartError) as caught:
        rendered(of(template), values or {})
    return str(caught.value)


def write(folder: Path, **files: str) -> Path:
    """A chart's folder; `__` in a name is a dot, `--` a slash."""
    head = "apiVersion: v1\nname: c\nversion: 1.0.0\nkind: files\n"
    for name, text in ({"Chart__yaml": head} | files).items():
        path = folder / name.replace("__", ".").replace("--", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# -- folders -------------------------------------------------------------------------------


def test_a_folder_becomes_a_chart(tmp_path: Path) -> None:
    """Head, values, schema and all templates are read, folders below templates/ too."""
    chart = load_chart(write(tmp_path, **{
        "values__yaml": "# none\n", "values__schema__json": "{}",
        "templates--a__txt__j2": "A", "templates--b--_c__j2": "C"}))
    assert chart.name == "c"
    assert chart.values == {}
    assert chart.schema == {}
    assert dict(chart.templates) == {"a.txt.j2": "A", "b/_c.j2": "C"}


@pytest.mark.parametrize(("files", "expected"), [
    ({"Chart__yaml": "name: A B\nkind: x\nother: 1\n"},
     ["Chart.yaml: apiVersion", "Chart.yaml: kind", "Chart.yaml: name", "Chart.yaml: other",
      "Chart.yaml: version"]),
    ({"Chart__yaml": "a: [\n"}, ["Chart.yaml"]),
    ({"values__yaml": "- 1\n"}, ["values.yaml"]),
    ({"values__yaml": "a: 1\na: 2\n"}, ["values.yaml"]),
    ({"values__schema__json": "{"}, ["values.schema.json"]),
    ({"values__schema__json": "[]", "values__yaml": "{}\n---\n{}\n"},
     ["values.schema.json", "values.yaml"]),
    ({"templates--big": "x" * 300_000}, ["templates/big"]),
])
def test_faults_of_a_folder_name_their_file(
    tmp_path: Path, files: dict[str, str], expected: list[str]
) -> None:
    """Every faulty file is told at once."""
    write(tmp_path, **{"templates--t__j2": "x"} | files)
    with pytest.raises(ChartError) as caught:
        load_chart(tmp_path)
    assert sorted(place for place, _ in caught.value.problems) == expected


def test_a_folder_without_a_chart_is_refused(tmp_path: Path) -> None:
    """No folder, no Chart.yaml, no templates: each says what is missing."""
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(ChartError, match=r"Chart\.yaml"):
            load_chart(folder)
    write(tmp_path)
    with pytest.raises(ChartError, match="at least one template"):
        load_chart(tmp_path)


def test_a_link_out_of_the_chart_is_not_followed(tmp_path: Path) -> None:
    """A template that is a symbolic link could be any file of the machine."""
    write(tmp_path, **{"templates--t__j2": "x"})
    (tmp_path / "templates" / "link").symlink_to("/etc/passwd")
    with pytest.raises(ChartError, match="templates/link: is a symbolic link"):
        load_chart(tmp_path)


# -- values --------------------------------------------------------------------------------


def test_values_are_laid_over_one_another() -> None:
    """Mappings are merged, lists and plain values replaced, places in lists written."""
    below = {"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2}]}
    assert merged(below, {"a": {"b": 3}}, {"l": [1]}) == {"a": {"b": 3, "c": 2}, "l": [1]}
    assert merged(below, parse_set("l.1.x=9"), parse_set("l.2.x=8"))["l"] == [
        {"x": 1}, {"x": 9}, {"x": 8}]
    assert below == {"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2}]}
    with pytest.raises(ChartError, match=r"l\.7: must be at most 2"):
        merged(below, parse_set("l.7=1"))


@pytest.mark.parametrize(("text", "expected"), [
    ("a.b=c", {"a": {"b": "c"}}), ("a=3", {"a": 3}), ('a="3"', {"a": "3"}), ("a=", {"a": ""}),
    ("a=b=c", {"a": "b=c"}), ("a=[1]", {"a": [1]}), ("a=NaN", {"a": "NaN"}),
    ("a=" + "[" * 100_000, {"a": "[" * 100_000}),
])
def test_set_reads_json_or_text(text: str, expected: object) -> None:
    """`--set a.b=c`."""
    assert parse_set(text) == expected


@pytest.mark.parametrize("text", ["a", "=b", "a..b=c", "a b=c", ".=", "a." * 40 + "b=c"])
def test_set_refuses_what_is_no_path(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(ChartError, match="must look like"):
        parse_set(text)


@pytest.mark.parametrize("values", [
    {"a": "\0"}, {"a": "\ud800"}, {"a\0": 1}, {"a": object()}, {"a": [0] * 20_000},
    {"a": "x" * 300_000}, {"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}])
def test_values_are_plain_and_bounded(values: dict[str, Any]) -> None:
    """What could forge a file, cannot be written or is too much is refused."""
    with pytest.raises(ChartError):
        merged({}, values)
    with pytest.raises(ChartError):
        rendered(of("x"), values)


# -- templates -----------------------------------------------------------------------------


@pytest.mark.parametrize(("template", "expected"), [
    ("{{ values.n }}", "3"),
    ("{{ values.items }} {{ values.keys() | list }}", "I ['n', 'items', 'deep']"),
    ("{{ chart.name }} {{ chart.version }}", "c 1.0.0"),
    ("{{ 'a\"b' | quote }} {{ 1 | quote }} {{ none | quote }}", '"a\\"b" "1" "null"'),
    ("{{ values.deep | to_yaml }}", "a:\n- 1\n- x: 'yes'"),
    ("{{ 'x' | to_yaml }}", "x"),
    ("d:{{ values.deep | to_yaml | nindent(2) }}", "d:\n  a:\n  - 1\n  - x: 'yes'"),
    ("  {{ 'a\n\nb' | indent(2) }}", "  a\n\n  b"),
    ("{{ values.n | required('set n') }}{{ required('set n', values.n) }}", "33"),
    ("{{ values.deep | to_json }}", '{"a": [1, {"x": "yes"}]}'),
    ("{% for i in range(2) %}\n{{ i }}\n{% endfor %}\n", "0\n1\n"),
    ("{% set s = namespace(l=[]) %}{% set s.l = s.l + [1] %}{{ s.l }}", "[1]"),
])
def test_helpers(template: str, expected: str) -> None:
    """What a template can call, and what it gets."""
    values = {"n": 3, "items": "I", "deep": {"a": [1, {"x": "yes"}]}}
    assert text_of(template, values) == expected


@pytest.mark.parametrize(("template", "expected"), [
    ("a\n{{ values.gone }}", "templates/t0.j2:2: 'dict object' has no attribute 'gone'"),
    ("{{ gone }}", "templates/t0.j2:1: 'gone' is undefined"),
    ("{{ values.gone | to_yaml }}", "has no attribute 'gone'"),
    ("{{ values.gone | required('set gone') }}", "templates/t0.j2:1: set gone"),
    ("\n\n{{ fail('no') }}", "templates/t0.j2:3: no"),
    ("{% if %}", "templates/t0.j2:1: Expected an expression"),
    ("{{ 1 // 0 }}", "templates/t0.j2:1: fails: "),
    ("{{ 'x' | random }}", "No filter named 'random'"),
    ("{{ lipsum(n=10) }}", "'lipsum' is undefined"),
    ("{{ range(10 ** 12) }}", f"at most {RANGE_MAX} numbers"),
    ("{{ 'x' | indent(10 ** 9) }}", "must be 0 to 64"),
    ("{% include '../../etc/passwd' %}", "asks for the template '../../etc/passwd'"),
    ("{% include '/etc/passwd' %}", "which the chart does not have"),
    ("{% import 'os' as os %}", "asks for the template 'os'"),
    ("{% import os %}", "templates/t0.j2:1: "),
    ("{% include 't0.j2' %}", "goes round in circles"),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "goes round in circles"),
    ("{% for a in range(1000) %}{% for b in range(1000) %}xxxxxxxxxxxx{% endfor %}{% endfor %}",
     f"at most {OUTPUT_BYTES_MAX} bytes"),
    ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
    ("{{ ''['__class__'] }}", "access to attribute '__class__'"),
    ("{{ '' | attr('__class__') }}", "access to attribute '__class__'"),
    ("{{ '{0.__class__.__mro__}'.format('') }}", "access to attribute '__class__'"),
    ("{{ range.__globals__ }}", "access to attribute '__globals__'"),
    ("{{ file.__globals__.json }}", "access to attribute '__globals__'"),
    ("{{ self.__init__.__globals__ }}", "access to attribute '__init__'"),
    ("{{ namespace.__init__.__globals__ }}", "access to attribute '__init__'"),
    ("{{ values.update(a=1) }}", "attribute 'update'"),
    ("{{ values.l.append(1) }}", "attribute 'append'"),
    ("{{ cycler(1) }}", "'cycler' is undefined"),
])
def test_refusals_name_template_and_line(template: str, expected: str) -> None:
    """Unknown names, ways out of the sandbox, other files, loops without end."""
    assert expected in refusal(template, {"l": []})


def test_values_are_not_templates() -> None:
    """Text of values is data: it is rendered once, as it is."""
    assert text_of("{{ values.a }}", {"a": "{{ values.b }}"}) == "{{ values.b }}"


def test_one_template_may_render_several_files() -> None:
    """file() begins a file; helpers whose name begins with _ become none."""
    chart = of(
        "{% import '_m.j2' as m %}\n{% for n in range(2) %}\n{{ file('h' ~ n ~ '/x') }}\n"
        "{{ m.hello(n) }}\n{% endfor %}\n",
        _m__j2="{% macro hello(n) %}hello {{ n }}{% endmacro %}")
    assert rendered(chart, {}) == {"h0/x": "hello 0\n", "h1/x": "hello 1\n"}


@pytest.mark.parametrize("path", [
    "../x", "/x", "a//b", "a/../b", ".", "", "a\\b", "x" * 300, "a b", "\u202e"])
def test_files_stay_in_their_folder(path: str) -> None:
    """A path that leads elsewhere is refused."""
    assert "cannot write to" in refusal("{{ file(values.p) }}x", {"p": path})


def test_files_are_not_forged_nor_doubled() -> None:
    """Text before the first file, two files of one name, and a NUL are faults."""
    assert "text before" in refusal("x{{ file('a') }}")
    assert "there already" in refusal("{{ file('a') }}{{ file('a') }}")
    assert "NUL" in refusal("{{ '\\0' }}")
    assert "one line" in refusal("{{ file('a\\nb') }}")


def test_app_charts_render_app_specs() -> None:
    """Each document is checked as `orchestry validate` does; notes may say what they like."""
    chart = of(app__yaml__j2=SPEC, NOTES__txt="Hello", kind=APP)
    assert list(check_output(chart, rendered(chart, {"name": "web"}))) == ["web"]
    with pytest.raises(ChartError, match=r"app\.yaml: metadata\.name"):
        check_output(chart, rendered(chart, {"name": "'A B'"}))
    with pytest.raises(ChartError, match=r"app\.yaml: line"):
        check_output(chart, rendered(chart, {"name": "["}))
    twice = of(a__yaml=SPEC, b__yaml=SPEC, kind=APP)
    with pytest.raises(ChartError, match="second app named web"):
        check_output(twice, rendered(twice, {"name": "web"}))
    none = of(NOTES__txt="x", kind=APP)
    with pytest.raises(ChartError, match="no app at all"):
        check_output(none, rendered(none, {}))


# -- limits of time and memory -------------------------------------------------------------


@pytest.mark.parametrize("template", [
    "{% for a in range(1000) %}" * 3 + "{% endfor %}" * 3,
    "{{ 'x' * 10 ** 10 }}",
    "{{ '%20000000000d' % 1 }}",
    "{{ 'x'.ljust(10 ** 11) }}",
    "{{ 10 ** (10 ** 10) }}",
    "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
])
def test_time_and_memory_are_bounded(template: str) -> None:
    """What the sandbox allows and would never end, or fill the memory, is stopped."""
    with pytest.raises(ChartError):
        render_guarded(of(template), {}, deadline_s=2)


def test_the_guard_renders_what_the_engine_renders() -> None:
    """Files and faults come back as they are, text beyond ASCII too."""
    chart = of("é {{ values.a }}\n")
    assert render_guarded(chart, {"a": "ü\r\n"}) == rendered(chart, {"a": "ü\r\n"})
    with pytest.raises(ChartError) as caught:
        render_guarded(chart, {})
    assert caught.value.problems == (
        ("templates/t0.j2:1", "'dict object' has no attribute 'a'"),)


def test_an_evil_regular_expression_is_stopped() -> None:
    """A schema's pattern may take for ever, but not here."""
    chart = Chart("c", "1.0.0", FILES, {"t": "x"}, schema={
        "properties": {"a": {"pattern": "^(a+)+$"}}})
    with pytest.raises(ChartError, match="more than 1 s"):
        render_guarded(chart, {"a": "a" * 60 + "!"}, deadline_s=1)


# -- whatever comes ------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=4), inner, max_size=4), max_leaves=12)
PIECES = st.lists(st.sampled_from([
    "{{", "}}", "{%", "%}", "{#", "#}", " ", "\n", "values", ".a", "[0]", "['__class__']", "for",
    " i in ", "endfor", "if ", "endif", "range(9)", "|", "to_yaml", "quote", "nindent(2)", "(",
    ")", "set x = ", "namespace()", "file('a')", "required('r')", "include 't0.j2'", "block b",
    "endblock", "extends 't0.j2'", "macro m()", "endmacro", "m()", "'x'", "1", "-", "~", "*",
    "__", "fail('f')", "\0", "é", "raw", "endraw", "import '_m' as n", "loop", "self", "super()",
]), max_size=24).map("".join)


def outcome(work: Callable[[], dict[str, Any]]) -> tuple[
        dict[str, Any] | None, tuple[tuple[str, str], ...]]:
    """What came out, or the problems."""
    try:
        return work(), ()
    except ChartError as error:
        return None, error.problems


@settings(max_examples=400)
@given(PIECES | st.text(max_size=30), PLAIN)
def test_no_template_and_no_value_breaks_the_engine(template: str, values: object) -> None:
    """Whatever comes, files come out or ChartError."""
    given_values = values if isinstance(values, dict) else {"a": values}
    files, problems = outcome(lambda: rendered(of(template, _m="{{ values }}"), given_values))
    assert (files is None) == bool(problems)
    assert all(message for _, message in problems)
    json.dumps(files).encode()
    assert all("\0" not in text for text in (files or {}).values())


@settings(max_examples=200)
@given(PLAIN, PLAIN, st.text(max_size=20))
def test_no_layer_of_values_breaks_the_merging(below: object, above: object, text: str) -> None:
    """Whatever is merged or set, values come out or ChartError."""
    result, problems = outcome(lambda: merged(
        {"a": below}, {"a": above}, parse_set(text + "=1"), parse_set("a.0=" + text)))
    assert isinstance(result, dict) != bool(problems)
