"""nginx.conf read back: whatever text is accepted, its directives are the same."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.ingress.nginx import render
from orchestry.spec import grammar
from tests.unit.test_nginx_conf import CONFIG

PIECES = (
    ";", "{", "}", "#", "\n", "\r", '"', "'", "\\", "$host", "${x}", " ", "/", ".", "..", "~", "*",
    "a", "server", "location / {", "return 200;", "include /etc/passwd;", "lua", "%0a", "\x00",
    "\u2028", "é", "-", "_", ":", "@", "?", "a.com", "xn--", "1",
)
TEXTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
_TOKEN = re.compile(r'\s+|#[^\n]*|"((?:[^"\\]|\\.)*)"|([{};])|([^\s{};"]+)')
_LUA = re.compile(r"(_by_lua_block )\{.*?\}(?=\n)")


def directives(text: str) -> list[str]:
    """The words at which nginx's parser begins a directive, with the depth of each."""
    text = _LUA.sub(r"\1;", text)
    found, depth, at, begins = [], 0, 0, True
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token, f"not nginx's syntax at {text[at:at + 40]!r}"
        at = token.end()
        if token[2]:
            depth += {"{": 1, "}": -1, ";": 0}[token[2]]
            begins = True
        elif token[1] is not None or token[3]:
            if begins:
                found.append(f"{depth} {token[3]}")
            begins = False
    assert depth == 0
    return found


BASELINE = directives(render(CONFIG))


def test_the_reader_sees_what_is_there() -> None:
    """And a directive that somebody slipped in."""
    assert {"0 pid", "1 worker_connections", "1 server", "2 listen", "2 location"} <= set(BASELINE)
    assert len(BASELINE) > 60
    injected = render(CONFIG).replace('"/srv/ingress/nginx.pid"', '"/srv/x"; daemon on')
    assert len(directives(injected)) == len(BASELINE) + 1


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(("directory", "lua_directory", "modules_directory", "user", "error_log",
                        "pid", "temp")), TEXTS, st.sampled_from(("", "/", "/srv/")))
def test_no_accepted_text_adds_a_directive(field: str, text: str, before: str) -> None:
    """A value of the operator's is refused, or stands as one argument."""
    try:
        rendered = render(dataclasses.replace(CONFIG, **{field: before + text}))  # type: ignore[arg-type]
    except ValueError:
        return
    if field == "user" and not before + text:
        assert directives(rendered) == BASELINE[1:]
        return
    assert directives(rendered) == BASELINE


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(("listen", "admin")), TEXTS, st.sampled_from(("", "unix:/", "127.0.0.1:")))
def test_no_accepted_address_adds_a_directive(field: str, text: str, before: str) -> None:
    """The same of addresses and sockets."""
    try:
        rendered = render(dataclasses.replace(CONFIG, **{field: (before + text,)}))  # type: ignore[arg-type]
    except ValueError:
        return
    assert len(directives(rendered)) == len(BASELINE) - 1


@pytest.mark.parametrize(
    ("check", "alphabet"),
    [(grammar.host, r"[a-z0-9.-]+"), (grammar.ingress_path, r"/[A-Za-z0-9._~/-]*"),
     (grammar.app_name, r"[a-z0-9-]+"), (grammar.health_path, r"/[\x21-\x7e]*")],
)
def test_accepted_text_is_of_a_harmless_alphabet(check: grammar.Grammar, alphabet: str) -> None:
    """Nothing with a meaning to nginx, a shell or HTTP gets through a grammar."""
    taken = []

    @settings(max_examples=500, deadline=None)
    @given(st.one_of(TEXTS, TEXTS.map("/{}".format), st.from_regex(alphabet)))
    def run(text: str) -> None:
        try:
            accepted = check(text)
        except ValueError:
            return
        taken.append(accepted)
        assert re.fullmatch(alphabet, accepted)
        assert not set(accepted) & set(" \t\r\n\0")

    run()
    assert taken
