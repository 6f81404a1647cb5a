"""Commands in containers by the Python clients, over a real socket."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestry
from orchestry import client as sdk
from orchestry.client.execution import AHEAD_BYTES_MAX, LOST
from tests.api.process import Process, ready
from tests.api.test_tls import secured
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.live import until
from tests.unit.both_clients import CLIENTS, Connect

WAIT_S = 30.0
MANY = b"".join(b"%07d\n" % number for number in range(300_000))


@pytest.fixture(scope="module")
def node() -> Iterator[Process]:
    """One process whose replicas have containers, and which allows commands in them."""
    with ready(ENGINE="fake") as found:
        assert found.call("PUT", "/api/v1/config", {"exec": {"enabled": True}})[0] == 200
        yield found


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Each kind of client."""
    return CLIENTS[request.param]


def url(node: Process) -> str:
    """Where it is."""
    return f"http://127.0.0.1:{node.port}"


def begun(node: Process) -> int:
    """How many times `sleep` has begun: who asked for it has a session by then."""
    events = node.call("GET", "/api/v1/apps/app-0/events?limit=1000")[1]["events"]
    return sum(event["message"].startswith("Command sleep begins") for event in events)


def test_a_command_gives_its_output_and_exit_code(node: Process, connect: Connect) -> None:
    """In the first healthy replica, or in the one that is asked for."""
    with connect(url(node)) as client:
        assert client.exec_app("app-0", ["sh", "-c", "echo é; echo wrong >&2; exit 3"]) == {
            "app_name": "app-0", "replica": "app-0-1", "exit_code": 3, "stdout": "é\n",
            "stderr": "wrong\n", "truncated": False, "reason": None}
        found = client.exec_app("app-0", ["cat"], replica=2, stdin="in\n")
        assert (found["replica"], found["stdout"], found["exit_code"]) == ("app-0-2", "in\n", 0)
        assert client.exec_app("app-0", ["nope"])["exit_code"] == 127


def test_much_input_and_output_is_cut_where_it_is_too_much(
    node: Process, connect: Connect
) -> None:
    """Megabytes go both ways at once; of those that are too many the beginning is kept."""
    with connect(url(node)) as client:
        found = client.exec_app("app-0", ["cat"], stdin=MANY, output_bytes_max=len(MANY))
        assert (found["stdout"], found["truncated"]) == (MANY.decode(), False)
        found = client.exec_app("app-0", ["cat"], stdin=MANY, output_bytes_max=1000)
        assert (found["stdout"], found["truncated"]) == (MANY[:1000].decode(), True)


def test_what_the_cluster_refuses_is_raised(node: Process, connect: Connect) -> None:
    """Before the command, or in its place."""
    with connect(url(node)) as client:
        with pytest.raises(sdk.NotFound):
            client.exec_app("none", ["true"])
        with pytest.raises(sdk.NotFound, match="app-0-1, app-0-2"):
            client.exec_app("app-0", ["true"], replica=9)
        with pytest.raises(sdk.InvalidRequest):
            client.exec_app("app-0", ["a\0"])
        for words in ([], "true", [1]):
            with pytest.raises(sdk.InvalidRequest, match="command"):
                client.exec_app("app-0", words)


def test_a_command_that_takes_too_long_is_left(node: Process, connect: Connect) -> None:
    """The caller is told that it may go on."""
    with connect(url(node)) as client, pytest.raises(sdk.TimedOut, match="may go on"):
        client.exec_app("app-0", ["sleep", "600"], timeout=0.3)


def test_a_session_is_a_conversation(node: Process) -> None:
    """Input as it is wanted, a terminal with its size, and the end."""
    with orchestry.Client(url(node)) as client, client.open_exec(
        "app-0", ["sh"], stdin=True, terminal=(41, 93)
    ) as session:
        assert session.wait_started() == "app-0-1"
        session.write(b"stty size\n")
        seen = b""
        while b"41 93\r\n" not in seen:
            stream, data = session.read(WAIT_S) or ("", b"")
            assert stream == "stdout"
            seen += data
        session.close_stdin()
        assert all(stream == "stdout" for stream, _ in session)
        assert session.exit_code == 0
        session.write(b"to nobody")


def test_who_does_not_read_slows_the_command_down(node: Process) -> None:
    """Nothing is kept without bound, and nothing is lost."""
    with orchestry.Client(url(node)) as client, client.open_exec(
        "app-0", ["cat"], stdin=True
    ) as session:
        whole = MANY * 16  # beyond all that the system's buffers take
        writer = threading.Thread(target=session.write, args=(whole,))
        writer.start()
        writer.join(2)
        assert writer.is_alive()
        assert session._read_bytes < AHEAD_BYTES_MAX + 2**18
        found = bytearray()
        while len(found) < len(whole):
            found += (session.read(WAIT_S) or ("", b""))[1]
        writer.join(WAIT_S)
        assert not writer.is_alive()
        assert found == whole


def test_a_session_whose_controller_dies_says_so(connect: Connect) -> None:
    """At once, and not as if the command had ended."""
    with ready(ENGINE="fake") as node:
        assert node.call("PUT", "/api/v1/config", {"exec": {"enabled": True}})[0] == 200
        with connect(url(node)) as client:
            def kill() -> None:
                until("it has begun", lambda: begun(node) > 0, WAIT_S)
                node.process.kill()

            killer = threading.Thread(target=kill)
            killer.start()
            with pytest.raises(sdk.TimedOut) as lost:
                client.exec_app("app-0", ["sleep", "600"], timeout=500)
            assert lost.value.code == LOST
            killer.join()


def test_sessions_leave_no_threads(node: Process) -> None:
    """However they end."""
    before = threading.active_count()
    with orchestry.Client(url(node)) as client:
        for _ in range(3):
            client.exec_app("app-0", ["cat"], stdin=b"x")
            client.open_exec("app-0", ["cat"], stdin=True).close()
        with pytest.raises(sdk.InvalidRequest):
            client.exec_app("app-0", ["\0"])
        until("its threads end", lambda: threading.active_count() <= before, WAIT_S)


def test_all_of_it_over_tls(tmp_path: Path) -> None:
    """Megabytes both ways at once, and who does not read for a while, with certificates."""
    ca = TestCa(tmp_path)
    with secured(ca, ca.issue("node", "127.0.0.1"), ENGINE="fake") as node, orchestry.Client(
        f"https://127.0.0.1:{node.port}", ca=ca.file
    ) as client:
        client.update_config({"exec": {"enabled": True}})
        found = client.exec_app("app-0", ["cat"], stdin=MANY, output_bytes_max=len(MANY))
        assert found["stdout"] == MANY.decode()
        with client.open_exec("app-0", ["cat"], stdin=True) as session:
            writer = threading.Thread(target=session.write, args=(MANY * 16,))
            writer.start()
            writer.join(2)
            assert writer.is_alive()
            got = 0
            while got < 16 * len(MANY):
                got += len((session.read(WAIT_S) or ("", b""))[1])
            writer.join(WAIT_S)


NODE = """
const Orchestry = require('./index.js');
(async () => {
  const client = new Orchestry(process.argv[1]);
  const found = [await client.execApp('app-0', ['sh', '-c', 'echo out; echo no >&2; exit 3'])];
  const many = Buffer.alloc(3_000_000, 'line\\n');
  const back = await client.execApp('app-0', ['cat'], { stdin: many, outputBytesMax: 4_000_000 });
  found.push(Buffer.from(back.stdout).equals(many));
  const session = await client.openExec('app-0', ['sh'], {
    replica: 2, stdin: true, terminal: { rows: 41, columns: 93 } });
  found.push(await session.started());
  await session.write('stty size\\nexit 4\\n');
  let text = '';
  for await (const { data } of session) text += data;
  found.push(text.includes('41 93'), session.exitCode);
  await client.execApp('none', ['true']).catch((error) => found.push(error.code));
  await client.execApp('app-0', ['sleep', '60'], { timeout: 0.3 }).catch(
    (error) => found.push(error.code));
  client.close();
  console.log(JSON.stringify(found));
})();
"""


def test_the_client_for_node(node: Process) -> None:
    """The same calls; and the process ends by itself, since nothing is left open."""
    done = subprocess.run(
        ["node", "-e", NODE, url(node)], cwd=ROOT / "sdk" / "node", capture_output=True, text=True,
        timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"app_name": "app-0", "replica": "app-0-1", "exit_code": 3, "stdout": "out\n",
         "stderr": "no\n", "truncated": False, "reason": None},
        True, "app-0-2", True, 4, "APP_NOT_FOUND", "TIMEOUT"]


def test_an_asynchronous_session(node: Process) -> None:
    """Read by one task, written by another; who is cancelled closes it."""
    async def talk() -> None:
        async with orchestry.AsyncClient(url(node)) as client:
            async with await client.open_exec("app-0", ["cat"], stdin=True) as session:
                async def write() -> None:
                    await session.write(b"one\n")
                    await session.close_stdin()

                writing = asyncio.create_task(write())
                assert b"".join([data async for _, data in session]) == b"one\n"
                await writing
                assert (session.exit_code, session.replica) == (0, "app-0-1")
            before = begun(node)
            waiting = asyncio.create_task(client.exec_app("app-0", ["sleep", "600"]))
            await asyncio.to_thread(
                until, "it has begun", lambda: begun(node) > before, WAIT_S)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, WAIT_S)

    asyncio.run(talk())
