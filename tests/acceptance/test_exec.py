"""Commands in real containers through a real cluster: exit codes, input, terminals, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import orchestry
from orchestry import client as sdk
from orchestry.client.execution import LOST, Session
from tests.architecture.files import ROOT
from tests.asking_cluster import AskingCluster
from tests.live import LiveCluster, app_spec, until
from tests.live_apps import ask, begin
from tests.page_table import fences
from tests.terminal import Terminal

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

WAIT_S = 60.0
OF_EACH_KIND = 8


def shell_app(image: str) -> dict[str, Any]:
    """With a share of the processor that many commands can begin with: they have no other."""
    found = app_spec("web", image)
    found["spec"]["resources"] = {"cpu": "1", "memory": "64Mi"}
    return found


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_shell_image: str
) -> Iterator[LiveCluster]:
    """One cluster with two replicas of an app, in which commands are allowed."""
    with LiveCluster(tmp_path_factory.mktemp("cluster"), ingress=False) as live:
        begin(live, shell_app(test_shell_image), 2)
        ask(live, "PUT", "/api/v1/config", {"exec": {"enabled": True}})
        yield live


def words_of(cluster: LiveCluster, node: str, *words: str) -> list[str]:
    """The command line, at one controller."""
    return [sys.executable, "-m", "orchestry.cli", "exec", "-u", cluster.url(node), *words]


def run(
    cluster: LiveCluster, node: str, *words: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """What came of it."""
    return subprocess.run(words_of(cluster, node, *words), input=given, capture_output=True,
                          timeout=WAIT_S, check=False)


@contextmanager
def client_of(cluster: LiveCluster, node: str) -> Iterator[orchestry.Client]:
    """A client of one controller."""
    with orchestry.Client(cluster.url(node)) as client:
        yield client


def running(cluster: LiveCluster, replica: int = 1) -> str:
    """The processes in a replica's container."""
    with client_of(cluster, cluster.led()) as client:
        return str(client.exec_app("web", ["ps", "-o", "pid,args"], replica=replica)["stdout"])


def test_any_controller_runs_a_command(cluster: LiveCluster) -> None:
    """Leader and followers alike: output, errors, exit code, input, in the replica asked for."""
    for node in cluster.ids:
        done = run(cluster, node, "web", "--", "sh", "-c", "echo out; echo wrong >&2; exit 7")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"wrong\n")
        data = os.urandom(300_000)
        done = run(cluster, node, "web", "-r", "2", "-i", "--", "cat", given=data)
        assert (done.returncode, done.stdout) == (0, data)
    hosts = {run(cluster, cluster.ids[0], "web", "-r", str(number), "--", "hostname").stdout
             for number in (1, 2)}
    assert len(hosts) == 2
    assert run(cluster, cluster.ids[0], "web", "--", "no-such").returncode in (126, 127)
    killed = run(cluster, cluster.ids[0], "web", "--", "sh", "-c", "kill -9 $$")
    assert killed.returncode == 137


def here(cluster: LiveCluster) -> dict[str, str]:
    """The environment of a user of this cluster."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "ORCHESTRY_URL": cluster.url(cluster.ids[0])}


def test_the_commands_of_the_page_run(cluster: LiveCluster, tmp_path: Path) -> None:
    """docs/exec.md; without a terminal the last one says so. There is no database in the image."""
    (tmp_path / "dump.sql").write_text("a dump")
    (shown,) = (code for code in fences("docs/exec.md") if "orchestry exec" in code)
    code = shown.replace("$ orchestry", f"{sys.executable} -m orchestry.cli")
    done = [subprocess.run(
        line, shell=True, cwd=tmp_path, env=here(cluster), input="", text=True,
        capture_output=True, timeout=WAIT_S, check=False)
        for line in code.replace("shop", "web").replace("psql", "cat").splitlines()]
    assert [one.returncode for one in done] == [0, 0, 0, 2], done
    assert "bin" in done[0].stdout.split()
    assert done[2].stdout == "a dump"


@pytest.mark.parametrize(("page", "program", "around"), [
    ("docs/python-client.md", [sys.executable, "-c"], "import orchestry\n{code}"),
    ("sdk/node/README.md", ["node", "-e"],
     (f"const client = new (require('{ROOT}/sdk/node'))('http://127.0.0.1:8001');\n"
     "(async () => {\n{code}})();")),
])
def test_the_programs_of_the_pages_run(
    cluster: LiveCluster, page: str, program: list[str], around: str
) -> None:
    """Those of both clients: what is in the root folder, and a shell that says its host."""
    (shown,) = (code for code in fences(page) if "open_exec" in code or "openExec" in code)
    code = around.replace("{code}", shown)
    code = code.replace("my-app", "web").replace(
        "http://127.0.0.1:8001", cluster.url(cluster.ids[0]))
    done = subprocess.run([*program, code], env=here(cluster), text=True, capture_output=True,
                          timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "bin" in done.stdout.split()
    assert done.stdout.splitlines()[-1] == "0", done.stdout


@pytest.mark.parametrize("leads", [True, False])
def test_a_shell_in_a_terminal(cluster: LiveCluster, leads: bool) -> None:
    """Keys, size and its changes, Ctrl-C for the program and not for us, exit code, terminal."""
    node = cluster.led() if leads else cluster.follower()
    words = words_of(cluster, node, "web", "-it", "--", "sh")
    with Terminal(words, os.environ, columns=97) as terminal:
        before = terminal.modes()
        terminal.until_raw(WAIT_S)
        terminal.type("stty size; tty\r")
        terminal.expect(r"24 97\r\n/dev/pts/", WAIT_S)
        terminal.resize(41, 120)
        terminal.type("while [ \"$(stty size)\" = '24 97' ]; do sleep 0.1; done; stty size\r")
        terminal.expect(r"41 120\r\n", WAIT_S)
        # Said by what Ctrl-C is for: the shell itself may say it before that has the terminal.
        terminal.type("sh -c 'echo begun; exec sleep 60'\r")
        terminal.expect(r"\nbegun\r\n", WAIT_S)
        terminal.type("\x03")
        terminal.type("echo code $?\r")
        terminal.expect(r"\ncode 130\r\n", WAIT_S)
        terminal.type("exit 4\r")
        assert terminal.end(WAIT_S) == 4
        assert terminal.modes() == before


def test_a_controller_that_is_killed_ends_it_clearly(cluster: LiveCluster) -> None:
    """Not as if the command had ended, not hanging; another controller takes the next one."""
    victim = cluster.follower()
    with Terminal(words_of(cluster, victim, "web", "-it", "--", "sh"), os.environ) as terminal:
        before = terminal.modes()
        terminal.until_raw(WAIT_S)
        terminal.type("echo begun\r")
        terminal.expect(r"\nbegun\r\n", WAIT_S)
        cluster.kill(victim)
        assert terminal.end(WAIT_S) == 5
        assert "may go on" in terminal.text
        assert terminal.modes() == before
    urls = [cluster.url(node) for node in (victim, *cluster.alive())]
    with orchestry.Client(urls) as client:
        assert client.exec_app("web", ["true"])["exit_code"] == 0
    cluster.boot(victim)
    cluster.wait_ready()


def test_a_leader_that_is_killed_ends_only_its_own(cluster: LiveCluster) -> None:
    """A session of a follower goes on through the change of leaders."""
    leader = cluster.led()
    follower = next(node for node in cluster.ids if node != leader)
    with (
        client_of(cluster, leader) as one, client_of(cluster, follower) as two,
        one.open_exec("web", ["cat"], stdin=True) as doomed,
        two.open_exec("web", ["cat"], stdin=True) as lives,
    ):
        doomed.wait_started()
        lives.wait_started()
        cluster.kill(leader)
        with pytest.raises(sdk.TimedOut) as lost:
            doomed.read(WAIT_S)
        assert lost.value.code == LOST
        until("another leader", lambda: cluster.leader() not in (None, leader), WAIT_S)
        lives.write(b"still here\n")
        assert lives.read(WAIT_S) == ("stdout", b"still here\n")
        lives.close_stdin()
        assert lives.read(WAIT_S) is None
        assert lives.exit_code == 0
    cluster.boot(leader)
    cluster.wait_ready()


def test_a_replica_that_ends_ends_its_commands(cluster: LiveCluster) -> None:
    """With what the engine tells of it, at once and not as if all was well."""
    with client_of(cluster, cluster.ids[0]) as client:
        with client.open_exec("web", ["sh", "-c", "echo begun; sleep 60"], replica=2) as session:
            assert session.read(WAIT_S) == ("stdout", b"begun\n")
            assert cluster.write(
                "POST", "/api/v1/apps/web/scale", {"replicas": 1, "wait": False})[0] == 200
            assert _end(session) in ("137: replica web-2 has ended", "replica web-2 is gone")
        until("it is not there any more", lambda: _has_no_second(client), WAIT_S)


def _has_no_second(client: sdk.Client) -> bool:
    """While it is stopped Docker refuses a command in it."""
    with pytest.raises(sdk.ApiError, match=r"not running|is gone|does not run") as refused:
        client.exec_app("web", ["true"], replica=2)
    return isinstance(refused.value, sdk.NotFound)


def _end(session: Session) -> str:
    """How it ended; a replica may be removed before anybody could ask how its command ended."""
    try:
        while session.read(WAIT_S) is not None:
            pass
    except sdk.ApiError as gone:
        return str(gone.details).partition(",")[0]
    return f"{session.exit_code}: {session.reason}"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_client_that_vanishes_takes_what_reads_along(
    cluster: LiveCluster, number: signal.Signals
) -> None:
    """A shell at its prompt and a command that reads its input end; what reads none goes on."""
    with Terminal(words_of(cluster, cluster.ids[0], "web", "-r", "1", "-it", "--", "sh", "-i"),
                  os.environ) as terminal:
        terminal.until_raw(WAIT_S)
        terminal.type("echo begun\r")
        terminal.expect(r"\nbegun\r\n", WAIT_S)
        assert "sh -i" in running(cluster)
        terminal.signal(number)
        terminal.end(WAIT_S)
    until("the shell has ended", lambda: "sh -i" not in running(cluster), WAIT_S)
    goes_on = f"sleep {12345 + number}"
    with client_of(cluster, cluster.ids[0]) as client:
        reads = client.open_exec("web", ["cat", "-"], stdin=True, replica=1)
        reads_none = client.open_exec("web", goes_on.split(), replica=1)
        with reads, reads_none:
            until("both run", lambda: {"cat -", goes_on} <= {
                line.strip().partition(" ")[2] for line in running(cluster).splitlines()}, WAIT_S)
    until("cat has ended", lambda: "cat -" not in running(cluster), WAIT_S)
    assert goes_on in running(cluster)


def _held(cluster: LiveCluster, node: str) -> tuple[int, int]:
    """Threads and descriptors of a controller."""
    pid = cluster.processes[node].pid
    worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    return tuple(len(list(Path(f"/proc/{worker}/{what}").iterdir()))  # type: ignore[return-value]
                 for what in ("task", "fd"))


def test_clients_that_vanish_leave_nothing_on_their_controller(cluster: LiveCluster) -> None:
    """Killed in the middle of output or input: no thread and no descriptor more."""
    node = cluster.ids[0]

    def lost(count: int) -> None:
        for number in range(count):
            script = "echo; cat" if number % 2 else "yes | head -c 20000000"
            with subprocess.Popen(
                words_of(cluster, node, "web", "-i", "--", "sh", "-c", script),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            ) as process:
                assert process.stdout is not None
                assert process.stdout.read(1)
                process.kill()

    lost(4)  # pools grow, as they may a little more where a busy machine lets requests pile up
    before = _held(cluster, node)
    lost(2 * OF_EACH_KIND)
    until("it has let go of all", lambda: all(
        now < then + OF_EACH_KIND - 1
        for now, then in zip(_held(cluster, node), before, strict=True)), WAIT_S)


def test_all_places_are_free_afterwards(cluster: LiveCluster) -> None:
    """Nothing that was done here has kept one, or a thread's worth of anything, on a controller."""
    for node in cluster.ids:
        with client_of(cluster, node) as client:
            sessions = [client.open_exec("web", ["cat"], stdin=True) for _ in range(8)]
            try:
                for one in sessions:
                    one.wait_started()
                with pytest.raises(InvalidStatus) as refused:
                    connect(f"{cluster.url(node).replace('http', 'ws', 1)}/api/v1/apps/web/exec",
                            open_timeout=WAIT_S)
                answer = refused.value.response
                assert (answer.status_code, b"exec.max_sessions" in answer.body) == (503, True)
            finally:
                for one in sessions:
                    one.close()


def test_where_tokens_are_asked_for(
    tmp_path: Path, docker_socket: str, test_shell_image: str
) -> None:
    """Who may, what the audit has of it, and that a session ends with its token."""
    with AskingCluster(tmp_path / "c", size=1, ingress=False, environ={
        "DOCKER_HOST": docker_socket, "ORCHESTRY_AUTH": "on"}
    ) as live:
        assert live.write(
            "POST", "/api/v1/apps/register", shell_app(test_shell_image))[0] == 201
        status, body = live.write("POST", "/api/v1/apps/web/start", {"replicas": 1})
        assert status == 200, body
        url = live.url(live.ids[0])
        with orchestry.Client(url, live.headers["Authorization"].split()[1]) as admin:
            tokens = {role: admin.create_token(f"a-{role}", role) for role in (
                "viewer", "deployer")}
            mine = str(tokens["deployer"]["token"])
            with orchestry.Client(url, mine) as client:
                with pytest.raises(sdk.Forbidden, match=r"exec\.enabled=true"):
                    client.exec_app("web", ["true"])
                admin.update_config({"exec": {"enabled": True}})
                assert client.exec_app("web", ["echo", "hunter2"])["stdout"] == "hunter2\n"
                with client.open_exec("web", ["cat"], stdin=True) as session:
                    session.write(b"begun\n")
                    assert session.read(WAIT_S) == ("stdout", b"begun\n")
                    admin.revoke_token(tokens["deployer"]["id"])
                    with pytest.raises(sdk.TimedOut, match="revoked"):
                        session.read(WAIT_S)
            with orchestry.Client(url, str(tokens["viewer"]["token"])) as viewer, pytest.raises(
                sdk.Forbidden, match="needs the role deployer"
            ):
                viewer.exec_app("web", ["true"])
            entries = [one for one in admin.get_audit()["entries"] if "/exec" in one["path"]]
            assert [(one["name"], one["code"], one["path"]) for one in entries] == [
                ("a-deployer", "OK", f"/api/v1/apps/web/exec?replica=1&arguments={words}")
                for words in ("0&program=cat", "1&program=echo")]
            assert "hunter2" not in str(admin.get_events())
        assert "hunter2" not in live.log(live.ids[0])
