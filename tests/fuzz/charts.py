"""Target `chart`: templates and values through the renderer, with every escape watched for.

Time and memory of a template are bounded by the process that it runs in (`guard`); here a
clock of its processor time interrupts it, and memory has a limit, as there.
"""

from __future__ import annotations

import contextlib
import encodings
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from orchestry.chart.model import OUTPUT_BYTES_MAX, Chart, ChartError
from orchestry.chart.render import rendered
from orchestry.chart.values import mapping_of, merged, parse_set
from tests.fuzz.source import Source

INTERRUPT_S = 1.0
_ENCODINGS = str(Path(encodings.__file__).parent)
ESCAPES = ("open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "sqlite3.", "import")

_TEMPLATES = (
    b"{{ values.name | quote }}\n",
    b"{% for host in values.hosts %}- {{ host.name }}\n{% endfor %}",
    b"{{ file('a.yaml') }}a: {{ values | to_yaml | nindent(2) }}{{ file('b') }}x",
    b"{% macro m(a, b=1) %}{{ a ~ b }}{% endmacro %}{{ m('x') }}{% set n = namespace(v=1) %}",
    b"{{ ''.__class__.__mro__[1].__subclasses__() }}{{ required('m', values.none) }}",
    b"{{ cycler.__init__.__globals__.os.popen('id').read() }}{% include 'x' %}",
    b"{{ '%s' | format(values) }}{{ values.name | replace('a', 'b') | indent(4) }}",
)
SEEDS: tuple[bytes, ...] = (
    *(b"\x00\x00" + text for text in _TEMPLATES),
    b"\x01a.b.0=[1,2]", b"\x02hosts:\n  - name: a\n", b"\x00\x01{% import 't' as t %}{{ t.x }}",
)

VALUES: dict[str, Any] = {
    "name": "shop", "hosts": [{"name": "a"}, {"name": "b"}], "none": None, "count": 3,
    "nested": {"items": 1, "x": {"y": [True, 1.5]}},
}
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}


class Interrupted(BaseException):
    """The template takes longer than a fuzzer waits; not an Exception, so nobody keeps it."""


class Escaped(BaseException):
    """A template reached something outside its values."""


_watching = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or not event.startswith(ESCAPES):
        return
    if event == "import" and not str(arguments[0]).startswith(("os", "subprocess", "ctypes")):
        return
    if event == "open" and str(arguments[0]).startswith(_ENCODINGS) and arguments[1] == "r":
        return  # Python's own compiler and `encode` look codecs up
    raise Escaped(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Ends what takes long; tells what reaches for files, processes or the network."""
    global _watching

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, INTERRUPT_S)
    _watching = True
    try:
        yield
    except Interrupted:
        return
    finally:
        _watching = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def one(data: bytes) -> None:
    """Raise when rendering fails in a way that is no ChartError, or reaches outside."""
    source = Source(data)
    kind = source.number(2)
    try:
        with _watched():
            if kind == 1:
                merged(VALUES, parse_set(source.rest().decode("utf-8", "replace")))
            elif kind == 2:
                merged(VALUES, mapping_of(source.rest().decode("utf-8", "replace"), "values"))
            else:
                _render(source)
    except ChartError as error:
        _told(error)


def _told(error: ChartError) -> None:
    """Every fault can be sent."""
    assert orjson.dumps(error.problems)


def _render(source: Source) -> None:
    schema = _SCHEMA if source.number(1) else None
    text = source.rest().decode("utf-8", "replace")
    first, _, second = text.partition("\x1e")
    chart = Chart(name="c", version="1.0.0", kind="files", values={},
                  templates={"a.yaml.j2": first, "_t.j2": second, "t": "x"}, schema=schema)
    files = rendered(chart, VALUES)
    assert sum(len(part.encode()) for part in files.values()) <= OUTPUT_BYTES_MAX
    assert not any(path.startswith("/") or ".." in path.split("/") for path in files)
