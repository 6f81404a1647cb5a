"""The parts of `orchestry dev`: what it runs, and how it looks after what it runs."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api import dev, dev_child, dev_cluster, dev_demo, dev_docker, dev_plan
from api.dev_plan import DevError, Options
from cluster import config
from orchestry import manifest
from orchestry.spec import parse
from tests.unit.stub_cluster import free_url

DEADLINE_S = 20.0
FOREVER = "import time\nprint('up', flush=True)\ntime.sleep(600)"


def options(folder: Path, **changed: object) -> Options:
    """Options as the command line gives them, with some changed."""
    base = Options(
        nodes=3, folder=folder, port=8001, ingress_port=8080, engine="docker",
        ingress="local", fresh=False, demo=True)
    return replace(base, **changed)  # type: ignore[arg-type]


def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, at most DEADLINE_S."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "not within the deadline"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as `locked` leaves it."""
    with dev.locked(tmp_path):
        pass
    return tmp_path


def child(folder: Path, code: str, name: str = "child") -> tuple[dev_child.Child, io.StringIO]:
    """A child that runs a line of Python, and what it prints."""
    screen = io.StringIO()
    program = dev_child.Program(name, (sys.executable, "-c", code), dict(os.environ))
    return dev_child.Child(program, folder, dev_child.Console(screen, colour=False)), screen


def never() -> bool:
    """Nobody is in a hurry."""
    return False


def test_settings_of_every_node_are_complete_and_accepted(tmp_path: Path) -> None:
    """What a node is started with passes its own checks, whatever the user's environment."""
    environ = {"PATH": "/bin", "CLUSTER_PEERS": "wrong", "ORCHESTRY_URL": "http://x:1",
               "DOCKER_HOST": "unix:///run/docker.sock"}
    file = options(tmp_path).key_file
    dev.keep_key(file)
    key = file.read_text()
    dev.keep_key(file)
    assert (file.read_text(), file.stat().st_mode & 0o777) == (key, 0o600)
    programs = dev_plan.node_programs(
        options(tmp_path), [9001, 9002, 9003], environ, "unix:/a.sock")
    loaded = [config.load(program.environment) for program in programs]
    assert [item.node_id for item in loaded] == ["controller-1", "controller-2", "controller-3"]
    assert [item.port for item in loaded] == [8001, 8002, 8003]
    assert [item.raft_port for item in loaded] == [9001, 9002, 9003]
    assert {item.mode for item in loaded} == {"cluster"}
    assert len({item.data_dir for item in loaded}) == 3
    assert {item.ingress_admin for item in loaded} == {("unix:/a.sock",)}
    assert {item.secrets_keys for item in loaded} == {(bytes.fromhex(key.strip()),)}
    assert {item.docker_host for item in loaded} == {"unix:///run/docker.sock"}


def test_one_node_is_a_cluster_of_its_own(tmp_path: Path) -> None:
    """`--nodes 1` needs no peers."""
    dev.keep_key(options(tmp_path).key_file)
    (program,) = dev_plan.node_programs(options(tmp_path, nodes=1), [9001], {}, "")
    assert config.load(program.environment).mode == "single"


def test_ports_of_others_are_avoided(tmp_path: Path) -> None:
    """The Raft ports move up together when one of them is taken."""
    assert dev_plan.free_ports(options(tmp_path), lambda port: port != 9002) == [
        9101, 9102, 9103, 9104]
    with pytest.raises(DevError, match="--port"):
        dev_plan.free_ports(options(tmp_path), lambda port: False)


@pytest.mark.parametrize("name", ["a b", "a,b", "x" * 100])
def test_folder_unfit_for_a_socket_is_refused(name: str, tmp_path: Path) -> None:
    """A Unix socket has a short path, and a list of them is separated by commas."""
    with pytest.raises(DevError, match="--data-dir"):
        dev_plan.check_folder(options(tmp_path / name))


def test_folder_is_held_by_one_process(tmp_path: Path) -> None:
    """The second `orchestry dev` on a folder hears who holds it."""
    with dev.locked(tmp_path), pytest.raises(DevError, match=str(os.getpid())), \
            dev.locked(tmp_path):
        pytest.fail("held twice")
    with dev.locked(tmp_path):
        assert (tmp_path / "dev.lock").read_text() == f"{os.getpid()}\n"


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The message names the folder and the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DevError, match=r"file.*--data-dir"), dev.locked(tmp_path / "file"):
        pytest.fail("a file is no folder")


def test_size_of_a_cluster_does_not_change_by_itself(tmp_path: Path) -> None:
    """Three controllers started as five could elect a leader without the old majority."""
    dev.check_size(options(tmp_path))
    dev.check_size(options(tmp_path))
    with pytest.raises(DevError, match="--nodes 3"):
        dev.check_size(options(tmp_path, nodes=5))


def test_port_that_is_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the port and the option that changes it."""
    monkeypatch.setattr(dev, "PORT_TIMEOUT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DevError, match=f"port {port} .*--port"):
            dev.check_ports(options(tmp_path, port=port, nodes=1, ingress="none"))


@pytest.mark.parametrize("arguments", [
    ["--nodes", "0"], ["--nodes", "x"], ["--port", "0"], ["--port", "70000"],
    ["--ingress-port", "8002"], ["--demo", "--engine", "fake"], ["--engine", "podman"], ["extra"],
])
def test_wrong_options_end_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is started; stderr says what is wrong."""
    with pytest.raises(SystemExit) as ended:
        dev.parse(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_restarts_slow_down() -> None:
    """2 s, doubling, never more than 30 s."""
    delays = [dev_child.restart_delay_s(ends) for ends in (1, 2, 3, 4, 5, 500)]
    assert delays == [2, 4, 8, 16, 30, 30]


def test_log_lines_are_readable() -> None:
    """Structured lines become text; what only looks like one stays as it is."""
    line = ('{"timestamp": "2026-01-02T03:04:05.6Z", "level": "info", "node": "a",'
            ' "event": "leads", "epoch": 3}')
    assert dev_child.readable(line) == "03:04:05 info    leads epoch=3"
    for other in ("plain", "{broken", '{"a": 1}', "{" * 5000, ""):
        assert dev_child.readable(other) == other


def test_output_of_a_child_is_shown_and_kept(folder: Path) -> None:
    """Each line comes under the child's name, also bytes that are no text."""
    one, screen = child(folder, "import sys; sys.stdout.buffer.write(b'a\\n\\xff\\nend')")
    one.start()
    eventually(lambda: one.exit_code() == 0)
    one.reap()
    assert screen.getvalue().split("\n") == [
        "child        a", "child        \ufffd", "child        end", ""]
    assert one.log_file.read_text() == "a\n\ufffd\nend\n"


def test_child_runs_where_nothing_can_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs the log file; output is still read, so that the child is not held up."""
    monkeypatch.setattr("logging.raiseExceptions", False)
    (folder / "logs").rmdir()
    (folder / "pids").rmdir()
    one, screen = child(folder, "print('x' * 200_000)")
    one.start()
    eventually(lambda: one.exit_code() == 0)
    one.reap()
    assert screen.getvalue().count("x") == 200_000


def test_child_that_is_killed_runs_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause, with another process number."""
    monkeypatch.setattr(dev_child, "RESTART_FIRST_S", 0.1)
    one, screen = child(folder, FOREVER)
    one.start()
    first = one.pid_file.read_text()
    try:
        os.kill(int(first.split()[0]), signal.SIGKILL)

        def again() -> bool:
            one.keep_running()
            return one.pid_file.exists() and one.pid_file.read_text() != first

        eventually(again)
        assert "killed by SIGKILL; starting it again" in screen.getvalue()
    finally:
        dev_child.stop([one], never)
    assert not one.running()
    assert not one.pid_file.exists()


def test_child_that_does_not_stop_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is every process of its group."""
    monkeypatch.setattr(dev_child, "STOP_TIMEOUT_S", 0.3)
    code = ("import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "print(inner.pid, flush=True)\ntime.sleep(600)")
    one, screen = child(folder, code)
    one.start()
    eventually(lambda: screen.getvalue().endswith("\n"))
    inner = int(screen.getvalue().split()[1])
    assert dev_child.started_at(inner)
    dev_child.stop([one], never)
    eventually(lambda: not dev_child.started_at(inner))


def test_leftovers_of_a_killed_run_are_stopped(folder: Path) -> None:
    """Only the very process that was started: a number that was used again is left alone."""
    one, _ = child(folder, FOREVER, "left")
    one.start()
    pid = one.pid_file.read_text().split()[0]
    stranger = subprocess.Popen([sys.executable, "-c", FOREVER], stdout=subprocess.DEVNULL)
    try:
        (folder / "pids" / "reused.pid").write_text(f"{stranger.pid} 1\n")
        (folder / "pids" / "broken.pid").write_text("?")
        assert dev_child.stop_leftovers(folder) == ["left"]
        assert dev_child.started_at(int(pid)) == ""
        assert stranger.poll() is None
        assert list((folder / "pids").iterdir()) == []
    finally:
        stranger.kill()
        stranger.wait()
        one.reap()


def test_children_end_when_their_parent_is_killed(folder: Path) -> None:
    """`kill -9` of `orchestry dev` leaves no controller behind."""
    code = ("import os, sys, time\nfrom pathlib import Path\nfrom api import dev_child\n"
            "program = dev_child.Program('orphan', (sys.executable, '-c', sys.argv[2]),"
            " dict(os.environ))\n"
            "console = dev_child.Console(sys.stderr, colour=False)\n"
            "dev_child.Child(program, Path(sys.argv[1]), console).start()\ntime.sleep(600)")
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), FOREVER], stderr=subprocess.DEVNULL)
    pid_file = folder / "pids" / "orphan.pid"
    try:
        eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        pid = int(pid_file.read_text().split()[0])
        assert dev_child.started_at(pid)
    finally:
        parent.kill()
        parent.wait()
    eventually(lambda: not dev_child.started_at(pid))


def test_cluster_of_a_folder_is_known_from_its_nodes(folder: Path) -> None:
    """Damaged or new folders name none, so nothing of others is ever removed."""
    for name, text in (("a", '{"cluster_id": "c1"}'), ("b", "{"), ("c", '{"cluster_id": ""}')):
        (folder / "nodes" / name).mkdir()
        (folder / "nodes" / name / "node.json").write_text(text)
    assert dev_docker.cluster_ids(folder) == {"c1"}


def test_demo_is_a_valid_app() -> None:
    """Its spec passes every rule, and its image holds all that it runs."""
    (document,) = manifest.load_documents((dev_demo._FOLDER / "demo.yaml").read_text())
    spec = parse.parse_app(document)
    assert (spec.name, spec.image) == (dev_demo.APP, dev_demo.IMAGE)
    files = dev_demo.context()
    assert {"Dockerfile", "serve.sh", "www/health", "www/cgi-bin/index.cgi"} <= set(files)


def test_demo_without_a_busybox_here_takes_one_from_an_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A dynamically linked busybox would not start in an empty image."""
    (tmp_path / "busybox").write_bytes(b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    (tmp_path / "busybox").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    files = dev_demo.context()
    assert "busybox" not in files
    assert b"ARG BASE=busybox:stable" in bytes(files["Dockerfile"])  # type: ignore[arg-type]
    assert b"COPY busybox" not in bytes(files["Dockerfile"])  # type: ignore[arg-type]


def test_banner_shows_how_to_reach_everything(tmp_path: Path) -> None:
    """URLs, the state of the cluster, and both ways to the demo."""
    status = {"leader_id": "controller-2", "term": 4, "cluster_size": 3, "nodes": [
        {"node_id": "controller-2", "state": "leader", "is_healthy": True, "hostname": "h"}]}
    text = dev_plan.banner(options(tmp_path), status)
    for part in ("http://127.0.0.1:8003", "http://127.0.0.1:8001/docs", '"controller-2"',
                 "curl http://demo.localhost:8080/",
                 "curl -H 'Host: demo.localhost' http://127.0.0.1:8080/"):
        assert part in text
    assert max(map(len, text.splitlines())) < 100
    assert "demo" not in dev_plan.banner(options(tmp_path, demo=False, ingress="none"), {})


def test_write_without_a_controller_ends_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tries are bounded in time."""
    monkeypatch.setattr(dev_cluster, "WRITE_TIMEOUT_S", 0.3)
    cluster = dev_cluster.Cluster([free_url()])
    with pytest.raises(dev_cluster.CallError, match="refused"):
        cluster.write("/x", b"", content_type="application/json", key="k")
    assert cluster.ready() == []
    assert cluster.read("/x") is None
