"""The life of the ingress's nginx: death, takeover, wrong circumstances."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.ingress import local
from cluster.ingress.__main__ import main
from cluster.ingress.base import IngressError, Peer
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from cluster.ingress.processes import is_master_of, members
from tests.ingress_parts import (
    DEADLINE_S,
    ask,
    counters,
    free_port,
    one_route,
    replicas,
    running_nginx,
    short_directory,
    table,
    until,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]


def _worker_pids(nginx: LocalNginx) -> list[int]:
    master = int((nginx.directory / "nginx.pid").read_text())
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [int(pid) for pid in children]


def test_a_killed_nginx_is_started_and_filled_again(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """Its workers outlive the master; they make room, and the table comes back by a push."""
    with replicas("r") as (replica,):
        before = ingress.push(table(4, one_route(replica.peer)))
        os.kill(int((nginx.directory / "nginx.pid").read_text()), signal.SIGKILL)
        until(lambda: not nginx.alive(), "the death is seen")
        assert nginx.ensure()
        assert not nginx.ensure()
        assert ingress.state().boot_id != before.boot_id
        waiting = ask(nginx.port, "shop.localhost")
        assert (waiting.status, waiting.error()["code"]) == (503, "CLUSTER_NOT_READY")
        ingress.push(table(4, one_route(replica.peer)))
        assert ask(nginx.port, "shop.localhost").text == "r"


def test_requests_outlive_a_killed_master(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """The orphaned workers free the port at once for the new nginx and finish what they have."""
    with replicas("r") as (replica,), ThreadPoolExecutor(1) as pool:
        ingress.push(table(1, one_route(replica.peer)))
        slow = pool.submit(ask, nginx.port, "shop.localhost", "/slow")
        until(lambda: len(replica.seen) == 1, "a request is in flight")
        os.kill(int((nginx.directory / "nginx.pid").read_text()), signal.SIGKILL)
        until(nginx.ensure, "nginx is started again")
        ingress.push(table(1, one_route(replica.peer)))
        assert ask(nginx.port, "shop.localhost").text == "r"
        replica.release.set()
        assert slow.result().text == "r"


def test_a_killed_worker_loses_no_table(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """The table and the identity live in shared memory; its requests in flight are forgotten."""
    with replicas("r") as (replica,), ThreadPoolExecutor(1) as pool:
        before = ingress.push(table(4, one_route(replica.peer)))
        slow = pool.submit(ask, nginx.port, "shop.localhost", "/slow")
        until(lambda: len(replica.seen) == 1, "a request is in flight")
        old = _worker_pids(nginx)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises((OSError, http.client.HTTPException)):
            slow.result()
        until(lambda: len(set(_worker_pids(nginx)) - set(old)) == 2, "new workers run")
        assert ingress.state() == before
        assert ask(nginx.port, "shop.localhost").text == "r"
        until(lambda: counters(ingress, "r").in_flight == 0, "the lost request is forgotten")


def _listens(place: int | Path) -> bool:
    """Whether a port, or a socket's file, takes connections."""
    family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(
            str(place) if isinstance(place, Path) else ("127.0.0.1", place)) == 0


def _masters(directory: Path) -> set[int]:
    """The nginx masters that run the configuration in `directory`."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [pid for pid in pids if is_master_of(pid, directory / "nginx.conf")]
    # A worker bears its master's title for a moment after the fork, but leads no group.
    return {pid for pid in found if pid in members(pid)}


@pytest.mark.parametrize("admin", ["10.0.0.1:9090", "0.0.0.0:9090", "[::]:9090"])
def test_an_admin_port_for_others_needs_a_token(
    admin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one, whoever reaches it would set the routes."""
    monkeypatch.delenv("INGRESS_ADMIN_TOKEN", raising=False)
    with pytest.raises(SystemExit):
        main(["--dir", str(tmp_path), "--admin", admin])
    assert "set INGRESS_ADMIN_TOKEN" in capsys.readouterr().err


def _supervise(directory: Path, port: int) -> subprocess.Popen[str]:
    """`python -m cluster.ingress`, once it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cluster.ingress", "--dir", str(directory), "--port", str(port)],
        stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert f"serving on http://127.0.0.1:{port}" in line
    return process


def _end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    return process.communicate(timeout=DEADLINE_S)[1]


def test_a_leftover_nginx_is_taken_over() -> None:
    """Its supervisor was killed: the next one goes on with it, and no request fails."""
    with short_directory() as directory, replicas("r") as (replica,):
        port, home = free_port(), directory / "i"
        killed = _supervise(home, port)
        nginx = LocalNginx(home, port)
        held = NginxIngress("n", nginx.endpoint).push(table(3, one_route(replica.peer)))
        masters = _masters(home)
        killed.kill()
        killed.communicate(timeout=DEADLINE_S)
        assert ask(port, "shop.localhost").text == "r"
        nginx.start()
        try:
            assert nginx.alive()
            assert not nginx.ensure()
            assert _masters(home) == masters
            assert NginxIngress("n", nginx.endpoint).state() == held
            assert ask(port, "shop.localhost").text == "r"
        finally:
            nginx.stop()
        assert _masters(home) == set()


def test_a_token_closes_the_socket_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With INGRESS_ADMIN_TOKEN the ingress starts, and only who has the token may ask it."""
    monkeypatch.setenv("INGRESS_ADMIN_TOKEN", "t" * 32)
    with short_directory() as directory:
        nginx = LocalNginx(directory / "i", free_port())
        nginx.start()
        try:
            with pytest.raises(IngressError, match="Authentication required"):
                NginxIngress("n", nginx.endpoint).state()
            assert NginxIngress("n", nginx.endpoint, token="t" * 32).state().epoch == 0
        finally:
            nginx.stop()


def test_a_leftover_with_other_settings_is_replaced() -> None:
    """A new port takes effect; the old process is gone."""
    with short_directory() as directory:
        home, first, second = directory / "i", free_port(), free_port()
        killed = _supervise(home, first)
        killed.kill()
        killed.communicate(timeout=DEADLINE_S)
        nginx = LocalNginx(home, second)
        nginx.start()
        try:
            assert len(_masters(home)) == 1
            assert ask(second, "x").status == 503
            with pytest.raises(ConnectionRefusedError):
                ask(first, "x")
        finally:
            nginx.stop()


def test_the_supervisor_restarts_and_stops_nginx() -> None:
    """`python -m cluster.ingress` brings a killed nginx back, and SIGTERM leaves nothing."""
    with short_directory() as directory:
        port, home = free_port(), directory / "i"
        process = _supervise(home, port)
        try:
            (master,) = _masters(home)
            os.kill(master, signal.SIGKILL)
            until(lambda: bool(_masters(home) - {master}), "a new master runs")
        finally:
            said = _end(process)
        assert process.returncode == 0
        assert "runs again" in said
        assert _masters(home) == set()
        assert not (home / "admin.sock").exists()
        with pytest.raises(ConnectionRefusedError):
            ask(port, "x")


def test_two_supervisors_do_not_share_a_folder(nginx: LocalNginx) -> None:
    """The second one is told, and the first one's nginx stays."""
    second = LocalNginx(nginx.directory, free_port())
    with pytest.raises(IngressError, match="another process runs the ingress"):
        second.start()
    assert nginx.alive()


def test_a_taken_port_is_named() -> None:
    """The message tells the port and the setting that changes it."""
    with short_directory() as directory, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(IngressError, match=rf":{port} .*INGRESS_PORT"):
            LocalNginx(directory, port).start()
        assert _masters(directory) == set()


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    """The kernel's limit is told before nginx stumbles over it."""
    with pytest.raises(IngressError, match="too long for a socket"):
        LocalNginx(tmp_path / ("d" * 100), free_port()).start()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nginx's Lua module, the message is the command that brings it."""
    monkeypatch.setattr(local, "_MODULES_DIRECTORIES", ("/nowhere",))
    with short_directory() as directory:
        with pytest.raises(IngressError, match=r"apt-get install .*libnginx-mod-http-lua"):
            LocalNginx(directory, free_port()).start()
        assert not LocalNginx(directory, free_port()).alive()


def test_an_nginx_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not check its file in time is an error like others, and leaves no lock."""
    monkeypatch.setattr(local, "START_DEADLINE_S", 0.2)
    hangs = tmp_path / "nginx"
    hangs.write_text("#!/bin/sh\nexec sleep 60\n")
    hangs.chmod(0o755)
    with short_directory() as directory:
        nginx = LocalNginx(directory / "i", free_port())
        with monkeypatch.context() as found:
            found.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
            with pytest.raises(IngressError, match=r"within 0\.2 s"):
                nginx.start()
        monkeypatch.undo()
        nginx.start()
        nginx.stop()


def test_a_start_that_fails_is_tried_again_later() -> None:
    """ensure() tells the reason, waits, and succeeds when the cause is gone."""
    with short_directory() as directory:
        nginx = LocalNginx(directory / "i", free_port())
        nginx.start()
        try:
            group = int((nginx.directory / "group").read_text())
            for pid in members(group):
                os.kill(pid, signal.SIGKILL)
            until(lambda: not members(group), "all are dead")
            with (socket.create_server(("127.0.0.1", nginx.port)),
                  pytest.raises(IngressError, match="INGRESS_PORT")):
                nginx.ensure()
            until(nginx.ensure, "nginx is started again")
            assert nginx.alive()
        finally:
            nginx.stop()


def test_the_error_log_is_bounded(nginx: LocalNginx) -> None:
    """It is cut in place while nginx has it open; one older part is kept."""
    log = nginx.directory / "error.log"
    with log.open("ab") as file:
        file.truncate(local.ERROR_LOG_LIMIT_BYTES + 1)
    nginx.ensure()
    assert log.stat().st_size == 0
    assert (nginx.directory / "error.log.1").stat().st_size > local.ERROR_LOG_LIMIT_BYTES


def test_the_configuration_runs_without_root() -> None:
    """All that nginx writes is in its folder, so a plain user can run it."""
    nobody = 65534 if os.geteuid() == 0 else os.getuid()
    with running_nginx() as model, short_directory() as directory:
        port = free_port()
        text = (model.directory / "nginx.conf").read_text()
        text = text.replace(str(model.directory), str(directory))
        text = text.replace(f':{model.port}"', f':{port}"')
        text = "\n".join(line for line in text.splitlines() if not line.startswith("user "))
        (directory / "nginx.conf").write_text(text)
        (directory / "temp").mkdir()
        shutil.copytree(model.directory / "lua", directory / "lua")
        for path in (directory, *directory.rglob("*")):
            os.chown(path, nobody, -1)
        process = subprocess.Popen(
            ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"),
             "-e", str(directory / "error.log")],
            user=nobody, stderr=subprocess.DEVNULL)
        try:
            ingress = NginxIngress("n", f"unix:{directory}/admin.sock")
            until(lambda: _listens(port) and _listens(directory / "admin.sock"), "nginx listens")
            with replicas("r") as (replica,):
                ingress.push(table(1, one_route(replica.peer)))
                assert ask(port, "shop.localhost").text == "r"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
        assert "[alert]" not in (directory / "error.log").read_text()


def test_a_worker_that_is_late_keeps_the_counters_from_being_settled(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """It may have sent requests on that are not counted yet; and settles as soon as it runs."""
    ingress.push(table(1, one_route(Peer("r", "127.0.0.1", 9))))
    until(lambda: ingress.stats(wait_ms=500).settled == (1, 1), "all workers have the table")
    late = _worker_pids(nginx)[0]
    os.kill(late, signal.SIGSTOP)
    try:
        # A connection may go to the worker that is late: that one waits for it, as others may.
        quick = NginxIngress("quick", nginx.endpoint, timeout_s=1)

        def told() -> tuple[int, int] | None:
            with contextlib.suppress(IngressError):
                quick.push(table(2, one_route(Peer("s", "127.0.0.1", 9))))
                return quick.stats(wait_ms=100).settled
            return None

        until(lambda: told() is not None, "the other worker answers")
        assert {told() for _ in range(5)} <= {(1, 1), None}
    finally:
        os.kill(late, signal.SIGCONT)
    until(lambda: ingress.stats(wait_ms=500).settled == (1, 2), "the late one has it, too")
