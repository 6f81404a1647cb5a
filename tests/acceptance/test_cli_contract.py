"""The command line as users run it, on a real cluster: JSON, a terminal, a slow and a dead one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from tests.architecture.files import ROOT
from tests.cli_outputs import CASES, schema_of
from tests.live import LiveCluster, app_spec, call, until
from tests.terminal import Terminal

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

WAIT_S = 90.0
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f]")
PROGRAM = (sys.executable, "-m", "orchestry.cli")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str
) -> Iterator[LiveCluster]:
    """One cluster for the tests of this file."""
    environ = {"ORCHESTRY_SECRETS_KEY": "ab" * 32}
    with LiveCluster(tmp_path_factory.mktemp("cluster"), environ=environ) as live:
        yield live


def environ(cluster: LiveCluster, home: Path) -> dict[str, str]:
    """The environment of a user of this cluster."""
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    urls = ",".join(cluster.url(node) for node in cluster.ids)
    return {**kept, "ORCHESTRY_URL": urls, "XDG_CONFIG_HOME": str(home), "TERM": "xterm-256color"}


def spec_file(folder: Path, name: str, image: str) -> Path:
    """A spec of an app with two replicas."""
    file = folder / f"{name}.yml"
    spec = {**app_spec(name, image), "scaling": {"mode": "manual", "minReplicas": 2}}
    spec["spec"]["resources"]["memory"] = "64Mi"
    file.write_text(yaml.safe_dump(spec))
    return file


def job_file(folder: Path, image: str) -> Path:
    """A job that is due in a year."""
    file = folder / "nightly.yml"
    file.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Job", "metadata": {"name": "nightly"},
        "spec": {"image": image, "command": ["/app", "once", "0", "0"]},
        "job": {"schedule": "0 3 1 1 *"},
    }))
    return file


def run(
    arguments: list[str], env: Mapping[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """The program, in pipes."""
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=ROOT, env=env, text=True, capture_output=True, input=typed,
        timeout=WAIT_S, check=False)


@pytest.mark.timeout(600)
def test_every_command_prints_one_document_that_fits_its_schema(
    cluster: LiveCluster, test_app_image: str, tmp_path: Path
) -> None:
    """All lines of the table, one after the other, through the program itself."""
    document = call("GET", cluster.url(cluster.ids[0], "/openapi.json"))[1]
    env = environ(cluster, tmp_path / "home")
    words = {"folder": str(tmp_path), "spec": str(spec_file(tmp_path, "shop", test_app_image))}
    changed = yaml.safe_load(Path(words["spec"]).read_text())
    changed["spec"]["environment"] = [{"name": "CHANGED", "value": "yes"}]
    words["changed"] = str(tmp_path / "changed.yml")
    Path(words["changed"]).write_text(yaml.safe_dump(changed))
    words["job"] = str(job_file(tmp_path, test_app_image))
    for case in CASES:
        if "{other}" in case.line:
            words["other"] = cluster.follower()
        line = [word.format(**words) for word in case.arguments]
        if line[:2] == ["config", "set"]:
            line += ["--url", cluster.url(cluster.ids[0])]
        end = line.index("--") if "--" in line else len(line)
        done = run([*line[:end], "--json", *line[end:]], env, case.typed)
        assert done.returncode == case.code, (line, done.stdout, done.stderr)
        found = json.loads(done.stdout)
        validator = jsonschema_rs.validator_for(schema_of(case, document))
        assert list(validator.iter_errors(found)) == [], (line, found)
        if line[:2] == ["token", "create"]:
            words["token"] = found["id"]
        if line[:2] == ["up", "shop"]:
            until("it is known everywhere", lambda: all(
                len(call("GET", cluster.url(node, "/api/v1/apps/shop"))[1]["containers"]) == 2
                for node in cluster.ids), WAIT_S)


def test_a_terminal_shows_progress_with_reasons_and_lives(
    cluster: LiveCluster, test_app_image: str, tmp_path: Path
) -> None:
    """A bar and the last reason while waiting, live tables until Ctrl-C, colours, 80 columns."""
    env = environ(cluster, tmp_path / "home")
    file = spec_file(tmp_path, "seen", test_app_image)
    assert run(["register", str(file)], env).returncode == 0
    with Terminal([*PROGRAM, "up", "seen"], env) as screen:
        screen.expect(r"\[#*-*\] \d/2 replicas healthy", WAIT_S)
        screen.expect("seen: running, replicas: 2", WAIT_S)
        assert screen.end(WAIT_S) == 0
    for line, wanted in (
        (["status", "seen", "--watch"], "seen-2"), (["top"], "seen"), (["top", "seen"], "seen-1"),
    ):
        with Terminal([*PROGRAM, *line], env) as screen:
            screen.expect(wanted, WAIT_S)
            screen.interrupt()
            assert screen.end(WAIT_S) == 0, screen.text
            assert "Traceback" not in screen.text
            widths = [len(CONTROL.sub("", row)) for row in screen.text.splitlines()]
            assert max(widths) <= screen.columns
    with Terminal([*PROGRAM, "list"], env) as screen:
        screen.expect("\x1b\\[32mrunning", WAIT_S)
    with Terminal([*PROGRAM, "list", "--no-color"], env) as screen:
        screen.expect("running", WAIT_S)
        assert screen.end(WAIT_S) == 0
        assert "\x1b[3" not in screen.text
    with Terminal([*PROGRAM, "metrics", "seen", "--plot"], env) as screen:
        screen.expect("CONNECTIONS", WAIT_S)
        assert screen.end(WAIT_S) == 0
    with Terminal([*PROGRAM, "scale", "seen", "40"], env) as screen:
        screen.expect(r"\d+/40 replicas", WAIT_S)
        screen.interrupt()
        screen.expect("orchestry status seen --watch", WAIT_S)
        assert screen.end(WAIT_S) == 130
    with Terminal([*PROGRAM, "delete", "seen"], env) as screen:
        screen.expect("Delete seen, its containers and no volume", WAIT_S)
        screen.type("y\n")
        screen.expect("seen: deleted", 2 * WAIT_S)
        assert screen.end(WAIT_S) == 0


def test_a_watch_survives_the_loss_of_its_controller(
    cluster: LiveCluster, tmp_path: Path
) -> None:
    """What is shown live goes on through another controller."""
    env = environ(cluster, tmp_path / "home")
    with Terminal([*PROGRAM, "status", "--watch"], env) as screen:
        screen.expect("in all|No apps", WAIT_S)
        lost = cluster.ids[0]
        cluster.kill(lost)
        before = len(screen.look(1.0))
        until("it goes on", lambda: "in all" in screen.look()[before:], WAIT_S)
        screen.interrupt()
        assert screen.end(WAIT_S) == 0
        cluster.boot(lost)
        cluster.wait_ready()


def test_a_leader_that_hangs_is_passed_by(cluster: LiveCluster, tmp_path: Path) -> None:
    """Reads and writes go on through the others; asked alone it is said not to answer."""
    leader = cluster.led()
    env = environ(cluster, tmp_path / "home")
    hanging_first = ",".join(sorted(env["ORCHESTRY_URL"].split(","),
                                    key=lambda url: url != cluster.url(leader)))
    group = cluster.processes[leader].pid
    os.killpg(group, signal.SIGSTOP)
    try:
        for line in ("list", "cluster config set scaling.default_cooldown=99", "cluster status"):
            done = run(line.split(), {**env, "ORCHESTRY_URL": hanging_first})
            assert done.returncode == 0, (line, done.stderr)
            assert f"{cluster.url(leader)} did not answer in time" in done.stderr
        done = run(["list", "--url", cluster.url(leader)], env)
        assert done.returncode == 3
        assert f"{cluster.url(leader)} did not answer in time" in done.stderr
    finally:
        os.killpg(group, signal.SIGCONT)
        cluster.wait_ready()


def test_a_dead_cluster_is_said_soon_and_completion_stays_silent(tmp_path: Path) -> None:
    """Exit code 3 with the next step; Tab shows nothing and does not hang."""
    env = {**os.environ, "ORCHESTRY_URL": "http://127.0.0.1:9", "XDG_CONFIG_HOME": str(tmp_path)}
    done = run(["list"], env)
    assert (done.returncode, done.stdout) == (3, "")
    assert "Next: " in done.stderr
    done = run([], {**env, "_ORCHESTRY_COMPLETE": "bash_complete",
                    "COMP_WORDS": "orchestry up w", "COMP_CWORD": "2"})
    assert (done.stdout.strip(), done.stderr) == ("", "")
