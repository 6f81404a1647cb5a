"""Streams of the clients and the command line on real controllers, over a lost one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import orchestry
from orchestry.client.answers import Event
from tests.architecture.files import ROOT
from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import ask, begin, deployment, environment, say, served, update

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

WAIT_S = 60.0
DEPLOYMENT = """
const Orchestry = require('./index.js');
(async () => {
  const client = new Orchestry(process.env.ORCHESTRY_URL.split(','));
  for await (const one of client.streamDeployment('web', Number(process.env.DEPLOYMENT))) {
    console.log(JSON.stringify(one));
  }
  client.close();
})();
"""


def victim_first(cluster: LiveCluster) -> tuple[str, list[str]]:
    """A follower, and the addresses of all controllers in an order in which it is the first."""
    leader = cluster.led()
    victim = next(node for node in cluster.ids if node != leader)
    return victim, [cluster.url(node) for node in sorted(cluster.ids, key=lambda n: n != victim)]


class Follower:
    """A command that prints lines, read by a thread."""

    def __init__(self, *arguments: str, urls: list[str], cwd: Path = ROOT, **more: str) -> None:
        environ = {**os.environ, "ORCHESTRY_URL": ",".join(urls), **more}
        self.process = subprocess.Popen(
            arguments, cwd=cwd, env=environ, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self._thread.join()
        with self.process:
            pass


def cli(*arguments: str) -> list[str]:
    """The command line's program."""
    return [sys.executable, "-m", "orchestry.cli", *arguments]


def test_lines_are_followed_over_a_lost_controller(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """Each line once, to both clients, also those written while none was connected."""
    served(cluster, begin(cluster, app_spec("web", test_app_image), 2))
    victim, urls = victim_first(cluster)
    wanted = [f"line {number}" for number in range(60)]
    say(cluster, "web", wanted[:20])
    with Follower(*cli("logs", "web", "-f", "-n", "1000", "--json"), urls=urls) as python, \
            Follower("node", "acceptance/follow.js", urls=urls, cwd=ROOT / "sdk" / "node",
                     APP="web") as node:

        def seen() -> list[list[str]]:
            of_python = [json.loads(text)["message"] for text in python.lines]
            return [[m for m in of_python if m.startswith("line ")], list(node.lines)]

        until("the past", lambda: all(len(lines) >= 20 for lines in seen()), WAIT_S)
        say(cluster, "web", wanted[20:30])
        cluster.kill(victim)
        say(cluster, "web", wanted[30:])
        until("all lines", lambda: all(len(lines) >= 60 for lines in seen()), WAIT_S)
        assert [sorted(lines) for lines in seen()] == [sorted(wanted)] * 2
        cluster.boot(victim)
        cluster.wait_ready()
        assert cluster.write("DELETE", "/api/v1/apps/web?force=true")[0] == 200
        assert [one.process.wait(WAIT_S) for one in (python, node)] == [0, 0]
        assert [len(lines) for lines in seen()] == [60, 60]


def test_events_and_measurements_are_followed_over_lost_controllers(
    cluster: LiveCluster,
) -> None:
    """Ids without a gap or a double, in Python and on the command line; measurements go on."""
    spec = {**app_spec("brief", "none:1"), "scaling": {"mode": "manual"}}
    assert cluster.write("POST", "/api/v1/apps/register", spec)[0] == 201
    events: list[Event] = []
    victim, urls = victim_first(cluster)
    until("it knows the app", lambda: call(
        "GET", f"{urls[0]}/api/v1/apps/brief")[0] == 200, WAIT_S)
    client = orchestry.Client(urls)

    def read() -> None:
        for event in client.stream_events(since_id=0):
            events.append(event)
            if event["message"] == "Application deleted" and event["app_name"] == "brief":
                return

    reader = threading.Thread(target=read)
    measured = client.stream_metrics("brief")
    assert next(measured)["app_name"] == "brief"
    with Follower(*cli("events", "-f", "--json", "-n", "1000"), urls=urls) as shown:
        reader.start()
        for number in range(60):
            if number == 20:
                until("events", lambda: len(events) > 20 and len(shown.lines) > 20, WAIT_S)
                cluster.kill(victim)
            if number == 40:
                cluster.boot(victim)
                cluster.wait_ready()
                leader = cluster.led()
                cluster.kill(leader)
            assert cluster.write("PUT", "/api/v1/apps/brief/scaling",
                                 {"max_replicas": 5 + number % 2})[0] == 200
        assert cluster.write("DELETE", "/api/v1/apps/brief?force=true")[0] == 200
        assert all(one["app_name"] == "brief" for one in measured)
        reader.join(WAIT_S)
        assert not reader.is_alive()
        client.close()
        ids = [event["id"] for event in events]
        assert len(ids) > 60
        assert ids == list(range(1, len(ids) + 1))
        until("the same on the command line", lambda: len(shown.lines) >= len(ids), WAIT_S)
        assert [json.loads(text)["id"] for text in shown.lines][:len(ids)] == ids
    cluster.boot(leader)
    cluster.wait_ready()


def test_a_deployment_is_followed_over_a_lost_controller(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """To its end by both clients, though the controller that told of it dies in the middle."""
    # Its first step lasts until somebody promotes it.
    spec = app_spec("web", test_app_image, deploy={
        "strategy": "canary", "steps": [{"weight": 10}], "minHealthySeconds": 0})
    begin(cluster, spec, 3)
    victim, urls = victim_first(cluster)
    number = update(cluster, environment(spec, VERSION="2"))
    until("the victim knows of it", lambda: call(
        "GET", f"{urls[0]}/api/v1/apps/web/deployments/{number}")[0] == 200, WAIT_S)
    phases: list[str] = []

    def read() -> None:
        with orchestry.Client(urls) as client:
            phases.extend(one["phase"] for one in client.stream_deployment("web", number))

    reader = threading.Thread(target=read)
    with Follower("node", "-e", DEPLOYMENT, urls=urls, cwd=ROOT / "sdk" / "node",
                  DEPLOYMENT=str(number)) as node:
        reader.start()
        until("it is followed", lambda: phases and node.lines, WAIT_S)
        cluster.kill(victim)
        until("it waits for somebody", lambda: (
            found := deployment(cluster, number, "web")["canary"])
            and found["waits_for"] == "promotion", WAIT_S)
        ask(cluster, "POST", "/api/v1/apps/web/promote", {})
        reader.join(WAIT_S)
        assert not reader.is_alive()
        assert node.process.wait(WAIT_S) == 0, node.process.stderr
    assert (phases[0], phases[-1], set(phases)) == ("running", "done", {"running", "done"})
    assert [json.loads(text)["phase"] for text in node.lines][-1] == "done"
    cluster.boot(victim)
    cluster.wait_ready()
    assert cluster.write("DELETE", "/api/v1/apps/web?force=true")[0] == 200
