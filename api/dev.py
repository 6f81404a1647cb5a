"""`orchestry dev`: a whole cluster on this machine, with its ingress and its logs."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from api import dev_child, dev_demo, dev_docker, dev_ingress, dev_plan
from api.dev_cluster import CallError, Cluster, call
from api.dev_docker import DevDocker
from api.dev_ingress import ContainerIngress
from api.dev_plan import DevError, Options
from cluster.config.readers import KEY_BYTES

READY_TIMEOUT_S = 60.0
DEMO_TIMEOUT_S = 60.0
PORT_TIMEOUT_S = 5.0
TICK_S = 0.1
DEMO_GAP_S = 1.0
"""Each look at the demo is one of the requests that the API allows in a minute."""
OUR_FOLDERS = ("nodes", "logs", "pids")


class Interrupted(Exception):
    """The user asked to stop before everything was up."""


def say(text: str) -> None:
    """Print a result; a closed terminal is no reason to leave a cluster behind."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the data folder; the lock ends with this process, however it ends.

    Raises:
        DevError: another `orchestry dev` holds it, or it cannot be written.
    """
    try:
        for name in OUR_FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        file = (folder / "dev.lock").open("a+")
    except OSError as error:
        raise DevError(
            f"the data folder {folder} cannot be used: {error.strerror}; choose another with"
            " --data-dir") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise DevError(
                f"the data folder {folder} is in use by another `orchestry dev` (process"
                f" {file.read().strip() or 'unknown'}); stop it, or choose another folder with"
                " --data-dir and other ports with --port and --ingress-port") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def check_size(options: Options) -> None:
    """The number of controllers belongs to the folder: a majority of it has to be there.

    Raises:
        DevError: the folder holds a cluster of another size.
    """
    file = options.folder / "dev.json"
    try:
        nodes = json.loads(file.read_text())["nodes"]
    except (OSError, ValueError, KeyError, TypeError):
        file.write_text(json.dumps({"nodes": options.nodes}) + "\n")
        return
    if nodes != options.nodes:
        raise DevError(
            f"the data folder {options.folder} holds a cluster of {nodes} controllers; start it"
            f" with --nodes {nodes}, or start empty with --fresh")


def is_free(port: int) -> bool:
    """True when nothing listens on `port` of any local address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def check_ports(options: Options) -> None:
    """Wait a little for the ports: an earlier cluster may just be ending.

    The ingress's port may belong to an nginx of ours that was left running.

    Raises:
        DevError: a port stays taken.
    """
    flags = dict.fromkeys(options.api_ports, "--port")
    if options.ingress != "none" and not (options.folder / "ingress" / "group").exists():
        flags[options.ingress_port] = "--ingress-port"
    deadline_s = time.monotonic() + PORT_TIMEOUT_S
    while taken := [port for port in flags if not is_free(port)]:
        if time.monotonic() > deadline_s:
            raise DevError(
                f"port {taken[0]} is taken by another program; stop it, or choose another with"
                f" {flags[taken[0]]}")
        time.sleep(TICK_S)


def reached(port: int) -> bool:
    """True when something accepts connections on `port` of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Dev:
    """One run of `orchestry dev`."""

    def __init__(self, options: Options, docker: DevDocker | None) -> None:
        self._options = options
        self._docker = docker
        self._cluster = Cluster(options.urls)
        colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        self._console = dev_child.Console(sys.stderr, colour=colour)
        self._nodes: list[dev_child.Child] = []
        self._ingress: list[dev_child.Child] = []
        self._container: ContainerIngress | None = None
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def on_signal(self, number: int, frame: object) -> None:
        """The first signal stops in order, the second one without waiting."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def run(self) -> None:
        """Start everything, serve until a signal, stop everything.

        Raises:
            DevError: the cluster did not come up.
        """
        try:
            self._start()
            self._until(self._is_ready, READY_TIMEOUT_S, "the cluster is not ready")
            if self._container is not None:
                self._container.start(min(dev_docker.cluster_ids(self._options.folder)))
            if self._options.demo:
                self._start_demo()
            say(self._banner())
            while not self._stop.wait(TICK_S):
                self._keep_running()
        except Interrupted:
            pass
        finally:
            self._shut_down()

    def _start(self) -> None:
        options, admin = self._options, ""
        keep_key(options.key_file)
        *raft_ports, admin_port = dev_plan.free_ports(options, is_free)
        if options.ingress == "local":
            admin = f"unix:{options.ingress_socket}"
            program = dev_plan.ingress_program(options, os.environ)
            self._ingress.append(dev_child.Child(program, options.folder, self._console))
        elif self._docker is not None:
            self._container = self._docker.ingress(options, admin_port)
            admin = self._container.endpoint
        for program in dev_plan.node_programs(options, raft_ports, os.environ, admin):
            self._nodes.append(dev_child.Child(program, options.folder, self._console))
        check_ports(options)
        for child in self._ingress + self._nodes:
            child.start()

    def _is_ready(self) -> bool:
        for child in self._nodes + self._ingress:
            code = child.exit_code()
            if code is not None:
                raise DevError(
                    f"{child.program.name} {dev_child.ending(code)} while starting; its last lines"
                    f" are above and in {child.log_file}")
        if self._ingress and not reached(self._options.ingress_port):
            return False
        if self._container is not None and not dev_docker.cluster_ids(self._options.folder):
            return False
        return len(self._cluster.ready()) == self._options.nodes

    def _until(
        self, condition: Callable[[], bool], timeout_s: float, failure: str, *,
        gap_s: float = TICK_S,
    ) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise DevError(f"{failure} after {timeout_s:.0f} s; the logs are in"
                               f" {self._options.folder / 'logs'}")
            if self._stop.wait(gap_s):
                raise Interrupted

    def _keep_running(self) -> None:
        for child in self._nodes + self._ingress:
            child.keep_running()
        if self._container is not None and (news := self._container.keep_running()):
            self._console.show("ingress", news)

    def _start_demo(self) -> None:
        assert self._docker is not None
        try:
            self._docker.build_demo()
            dev_demo.deploy(self._cluster)
            self._until(self._demo_answers, DEMO_TIMEOUT_S, "the demo does not answer",
                        gap_s=DEMO_GAP_S)
        except (CallError, DevError) as error:
            say(f"The demo is not there: {error}.")

    def _demo_answers(self) -> bool:
        self._keep_running()
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self._options.ingress_port}/"
            if call("GET", url, headers={"Host": dev_plan.DEMO_HOST})[0] != 200:
                return False
            app = self._cluster.read(f"/api/v1/apps/{dev_demo.APP}") or {}
            return app.get("status") == "running"
        return False

    def _banner(self) -> str:
        status = self._cluster.read("/cluster/status") or {}
        return dev_plan.banner(self._options, status)

    def _shut_down(self) -> None:
        say("Stopping.")
        dev_child.stop(self._nodes, self._hurry.is_set)
        if self._docker is not None:
            self._docker.stop_containers(self._options.folder, hurry=self._hurry.is_set())
        dev_child.stop(self._ingress, self._hurry.is_set)
        if self._container is not None and (
            news := self._container.stop(hurry=self._hurry.is_set())
        ):
            self._console.show("ingress", news)


def parse(arguments: Sequence[str] | None) -> Options:
    """Options from the command line; wrong ones end the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="orchestry dev", description="Run a whole cluster on this machine.",
        epilog="Ctrl-C stops the controllers, the ingress and the containers of the apps; the"
               " next start resumes from the data folder.")
    parser.add_argument("--nodes", type=int, default=3, choices=range(1, 10), metavar="N",
                        help="number of controllers, 1-9 (default 3)")
    parser.add_argument("--data-dir", type=Path, default=Path(".orchestry"), metavar="D",
                        help="folder that keeps the state (default .orchestry)")
    parser.add_argument("--port", type=int, default=8001, metavar="P",
                        help="API port of the first controller (default 8001)")
    parser.add_argument("--ingress-port", type=int, default=8080, metavar="P",
                        help="port on which the apps are served (default 8080)")
    parser.add_argument("--engine", choices=("docker", "fake"), default="docker",
                        help="fake starts no containers and needs no Docker")
    parser.add_argument("--ingress", choices=("local", "container"), default=dev_ingress.kind(),
                        help="nginx of this machine, or in a container (default %(default)s)")
    parser.add_argument("--fresh", action="store_true",
                        help="start empty: removes the cluster of the data folder first")
    parser.add_argument("--demo", action="store_true", help="build and run a small demo app")
    found = parser.parse_args(arguments)
    for flag, port in (("--port", found.port), ("--ingress-port", found.ingress_port)):
        if not 1 <= port <= 65535 - dev_plan.RAFT_PORT_OFFSET:
            parser.error(f"{flag} must be from 1 to {65535 - dev_plan.RAFT_PORT_OFFSET}")
    if found.ingress_port in range(found.port, found.port + found.nodes):
        parser.error("--ingress-port is one of the ports of the controllers")
    if found.demo and found.engine == "fake":
        parser.error("--demo needs --engine docker")
    return Options(
        nodes=found.nodes, folder=found.data_dir.absolute(), port=found.port,
        ingress_port=found.ingress_port, engine=found.engine, fresh=found.fresh, demo=found.demo,
        ingress="none" if found.engine == "fake" else found.ingress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; 0 when all went well, 1 with a message otherwise."""
    options = parse(arguments)
    logging.raiseExceptions = False  # a full disk costs log lines, not the terminal
    try:
        dev_plan.check_folder(options)
        with locked(options.folder), contextlib.ExitStack() as cleanup:
            for name in dev_child.stop_leftovers(options.folder):
                say(f"Stopped {name}, left over from a run that was killed.")
            docker = None
            if options.engine == "docker":
                docker = cleanup.enter_context(contextlib.closing(DevDocker()))
            if options.fresh:
                remove_cluster(options, docker)
            check_size(options)
            dev = Dev(options, docker)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, dev.on_signal)
            dev.run()
    except (DevError, OSError) as error:
        sys.stderr.write(f"orchestry dev: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def keep_key(file: Path) -> None:
    """Make the key for secrets of applications, unless it is there.

    Raises:
        DevError: the file cannot be written.
    """
    try:
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.write(f"{os.urandom(KEY_BYTES).hex()}\n")
    except FileExistsError:
        return
    except OSError as error:
        raise DevError(f"{file} cannot be written: {error.strerror}") from error


def remove_cluster(options: Options, docker: DevDocker | None) -> None:
    """Remove the cluster of this data folder: containers, volumes, network and state."""
    if docker is not None:
        docker.purge(options.folder)
    for name in OUR_FOLDERS:
        shutil.rmtree(options.folder / name)
        (options.folder / name).mkdir()
    (options.folder / "dev.json").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
