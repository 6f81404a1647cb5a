"""The commands of the pages run as written on one cluster, and print what the pages show."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from orchestry.cli import main
from tests.architecture.files import ROOT
from tests.asking_cluster import SECRET, AskingCluster
from tests.live import until
from tests.page_table import Entry, entries, fences
from tests.pages import shape

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

BLOCK_S = 60.0
SHELL = re.compile(r"[|<>$;&!\\]|cluster ca ")
"""What this process cannot do itself; `cluster ca` goes on as another program."""
TYPED = "typed-1\ntyped-2\n"
PAGES = sorted({entry.page for entry in entries("run")})
SHOP: dict[str, Any] = {
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "shop"},
    "spec": {
        "image": "shop:1", "ports": [{"containerPort": 80}],
        "volumes": [{"name": "data", "mountPath": "/var/lib/shop"}],
    },
    "scaling": {"minReplicas": 2},
}
CANARY = {"strategy": "canary", "steps": [{"weight": 10}, {"weight": 50}], "minHealthySeconds": 0}
ORCHESTRY = f"""\
#!/bin/sh
export PYTHONPATH={ROOT}
exec {sys.executable} -m orchestry.cli "$@"
"""

BROWSER = f"""\
const http = require('node:http');
const frames = require('{ROOT}/sdk/node/src/websocket.js');
const headers = {{ Authorization: `Bearer ${{process.env.ORCHESTRY_TOKEN}}` }};
globalThis.WebSocket = class {{
  constructor(url) {{
    const asked = {{ headers: {{ ...headers, ...frames.handshake(frames.newKey()) }} }};
    http.get(url.replace('ws:', 'http:'), asked).on('upgrade', (answer, socket, head) => {{
      const parser = new frames.Parser();
      const take = (data) => parser.push(data).forEach((one) => {{
        if (one.opcode === frames.TEXT) this.onmessage({{ data: one.data.toString() }});
      }});
      take(head);
      socket.on('data', take);
    }});
  }}
}};
globalThis.EventSource = class {{
  constructor(url) {{
    http.get(url, {{ headers: {{ ...headers, Accept: 'text/event-stream' }} }}, (answer) => {{
      answer.on('data', (data) => data.toString().split('\\n').forEach((line) => {{
        if (line.startsWith('data: ')) this.onmessage({{ data: line.slice(6) }});
      }}));
    }});
  }}
}};
"""
"""What the page of a browser finds there; Node has neither in all the versions that we support."""


class Reader:
    """Somebody at a shell, in a folder with what the pages take for granted."""

    def __init__(self, cluster: AskingCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self._url = cluster.url(cluster.ids[0])
        self.token = cluster.headers["Authorization"].split()[1]

    def settle(self) -> None:
        """The app of the pages runs, and the programs of the pages are found."""
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "orchestry").write_text(ORCHESTRY)
        (programs / "orchestry").chmod(0o755)
        (self.folder / "helm-like").symlink_to(ROOT / "helm-like")
        (self.folder / ".curlrc").write_text(
            f'fail\nheader = "Authorization: Bearer {self.token}"\n')
        (self.folder / "shop.yml").write_text(yaml.safe_dump(SHOP))
        blog = {**SHOP, "metadata": {"name": "blog"}}
        (self.folder / "blog.yml").write_text(yaml.safe_dump(blog))
        newer = {**SHOP, "spec": {**SHOP["spec"], "image": "shop:2"}, "deploy": CANARY}
        (self.folder / "canary.yml").write_text(yaml.safe_dump(newer))
        self.type("orchestry register shop.yml\norchestry up shop --no-wait")

    def environ(self) -> dict[str, str]:
        """What programs know."""
        return {
            **os.environ, "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder),
            "COLUMNS": "200", "ORCHESTRY_URL": self._url, "ORCHESTRY_TOKEN": self.token,
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}

    def here(self, code: str) -> str:
        """Code with the address of this cluster."""
        return re.sub(r"(localhost|127\.0\.0\.1):800\d", self._url.removeprefix("http://"), code)

    def type(self, code: str) -> str:
        """What a piece of code prints; it must succeed."""
        code = code.strip()
        if not SHELL.search(code) and all(
                line.startswith("orchestry ") for line in code.splitlines()):
            return "".join(self._call(line) for line in code.splitlines())
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(code)], cwd=self.folder,
            env=self.environ(), input=TYPED, text=True, capture_output=True,
            timeout=BLOCK_S, check=False)
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _call(self, line: str) -> str:
        """A plain command, without the time that another process takes to begin."""
        out = io.StringIO()
        with (patch.dict(os.environ, self.environ()), contextlib.chdir(self.folder),
              contextlib.redirect_stdout(out), contextlib.redirect_stderr(out),
              patch.object(sys, "stdin", io.StringIO(TYPED))):
            status = main(shlex.split(self.here(line), comments=True)[1:])
        assert status == 0, f"{line}\n{out.getvalue()}"
        return out.getvalue()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One controller that asks for tokens and knows secrets, without Docker."""
    with AskingCluster(tmp_path_factory.mktemp("cluster"), size=1, engine="fake", ingress=False,
                       environ={"ORCHESTRY_AUTH": "on", "CLUSTER_SECRET": SECRET,
                                "ORCHESTRY_SECRETS_KEY": "ab" * 32}) as cluster:
        found = Reader(cluster, tmp_path_factory.mktemp("reader"))
        found.settle()
        yield found


def parts(entry: Entry, folder: Path) -> tuple[str, list[str]]:
    """Commands, which `$ ` marks where output is among them, and the output."""
    code = entry.code
    for shown, here in entry.change.items():
        assert shown in code, f"nothing to change: {shown}"
        code = code.replace(shown, here.replace("{folder}", str(folder)))
    if not code.startswith("$ "):
        return code, []
    lines = code.splitlines()
    return ("\n".join(line[2:] for line in lines if line.startswith("$ ")),
            [line for line in lines if not line.startswith("$ ")])


def is_among(shown: str, printed: set[str]) -> bool:
    """A line of the page, in which `…` and `...` stand for anything, was printed."""
    wanted = ".*".join(map(re.escape, shape(re.sub(r"\w*(…|\.\.\.)", "…", shown)).split("…")))
    return any(re.fullmatch(wanted, line) for line in printed)


def follow(reader: Reader, entry: Entry) -> None:
    """Do what one block says."""
    code, output = parts(entry, reader.folder)
    if entry.before:
        reader.type(entry.before)
    said = reader.type(code)
    if entry.after:
        reader.type(entry.after)
    printed = {shape(line) for line in said.splitlines()}
    missing = [line for line in output[:entry.lines] if not is_among(line, printed)]
    assert not missing, f"{code}\nprinted:\n{said}\nshown, not printed: {missing}"
    assert entry.prints in said, f"{code}\nprinted:\n{said}"


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(reader: Reader, page: str) -> None:
    """One block after the other, in one folder."""
    found = [entry for entry in entries("run", "file") if entry.page == page]
    assert found
    for entry in found:
        if entry.by == "file":
            (reader.folder / entry.of).write_text(entry.code)
        else:
            follow(reader, entry)


def test_a_page_of_a_browser_hears_of_events(reader: Reader) -> None:
    """docs/streams.md: by the WebSocket from the first one on, by EventSource from now on."""
    (code,) = (one for one in fences("docs/streams.md") if "EventSource" in one)
    out = reader.folder / "browser"
    with out.open("wb") as file:
        process = subprocess.Popen(
            ["node", "-e", BROWSER + reader.here(code)], env=reader.environ(), stdout=file)
    try:
        until("the first event", lambda: "Application registered" in out.read_text(), BLOCK_S)
        wanted = [3, 4] * 30
        while wanted:
            reader.cluster.write("POST", "/api/v1/apps/shop/scale", {
                "replicas": wanted.pop(), "wait": False})
            time.sleep(0.5)
            scaled = [line for line in out.read_text().splitlines() if line.startswith("Scaled")]
            if [line for line, next_one in pairwise(scaled) if line == next_one]:
                break
        assert wanted, out.read_text()
    finally:
        process.kill()
        process.wait()
