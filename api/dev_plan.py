"""What `orchestry dev` runs: options in, programs out; no I/O."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from api import dev_demo
from api.dev_child import Program

RAFT_PORT_OFFSET = 1000
RAFT_PORT_STEP = 100
RAFT_PORT_TRIES = 20
SOCKET_PATH_BYTES_MAX = 100
DOMAIN = "localhost"
DEMO_HOST = f"{dev_demo.APP}.{DOMAIN}"

_OUR_PREFIXES = ("ORCHESTRY_", "CLUSTER_", "CONTROLLER_", "INGRESS_")


class DevError(Exception):
    """`orchestry dev` cannot go on; the text tells why, and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `orchestry dev`; `folder` is absolute."""

    nodes: int
    folder: Path
    port: int
    ingress_port: int
    engine: Literal["docker", "fake"]
    ingress: Literal["local", "container", "none"]
    fresh: bool
    demo: bool

    @property
    def api_ports(self) -> range:
        """Ports of the controllers' APIs."""
        return range(self.port, self.port + self.nodes)

    @property
    def urls(self) -> list[str]:
        """URLs of the controllers' APIs."""
        return [f"http://127.0.0.1:{port}" for port in self.api_ports]

    @property
    def ids(self) -> list[str]:
        """Ids of the controllers."""
        return [f"controller-{number}" for number in range(1, self.nodes + 1)]

    @property
    def ingress_socket(self) -> Path:
        """Where the controllers push routes to."""
        return self.folder / "ingress" / "admin.sock"

    @property
    def key_file(self) -> Path:
        """The key under which secrets of applications are kept."""
        return self.folder / "secrets.key"


def check_folder(options: Options) -> None:
    """The folder has to be fit for a Unix socket inside, whose path the system bounds.

    Raises:
        DevError: it is too long, or has characters that a list of sockets cannot hold.
    """
    path = str(options.ingress_socket)
    if re.search(r"[\s,]", path) or len(path.encode()) > SOCKET_PATH_BYTES_MAX:
        raise DevError(
            f"the path of the data folder {options.folder} must be short and without spaces and"
            " commas, since a Unix socket lies in it; choose another with --data-dir")


def free_ports(options: Options, is_free: Callable[[int], bool]) -> list[int]:
    """Ports in a row, 1000 above the API's or higher: one for each controller, one to spare.

    The last one is for the admin listener of an ingress in a container.

    Raises:
        DevError: none found.
    """
    for attempt in range(RAFT_PORT_TRIES):
        first = options.port + RAFT_PORT_OFFSET + attempt * RAFT_PORT_STEP
        ports = list(range(first, first + options.nodes + 1))
        if ports[-1] < 65536 and options.ingress_port not in ports and all(map(is_free, ports)):
            return ports
    raise DevError(
        f"no free ports for the controllers above {options.port + RAFT_PORT_OFFSET}; choose others"
        " with --port")


def node_programs(
    options: Options, raft_ports: Sequence[int], environ: Mapping[str, str], ingress_admin: str
) -> list[Program]:
    """One program per controller; only DOCKER_* settings come from the user's environment."""
    peers = ",".join(
        f"{name}=127.0.0.1:{port}" for name, port in zip(options.ids, raft_ports, strict=True))
    common = _inherited(environ) | {
        "ORCHESTRY_HOST": "127.0.0.1",
        "ORCHESTRY_DRILL": "on",
        "ORCHESTRY_ENGINE": options.engine,
        "CLUSTER_MODE": "cluster" if options.nodes > 1 else "single",
        "CLUSTER_PEERS": peers,
        "ORCHESTRY_SECRETS_KEY_FILE": str(options.key_file),
        "INGRESS_PORT": str(options.ingress_port),
        "INGRESS_DOMAIN": DOMAIN,
    }
    if ingress_admin:
        common["INGRESS_ADMIN"] = ingress_admin
    return [
        Program(name, (sys.executable, "-m", "api.node"), common | {
            "CONTROLLER_NODE_ID": name,
            "CONTROLLER_API_URL": url,
            "ORCHESTRY_PORT": str(port),
            "ORCHESTRY_DATA_DIR": str(options.folder / "nodes" / name),
            "CLUSTER_RAFT_PORT": str(raft_port),
        })
        for name, url, port, raft_port in zip(
            options.ids, options.urls, options.api_ports, raft_ports, strict=True)
    ]


def ingress_program(options: Options, environ: Mapping[str, str]) -> Program:
    """The ingress of the cluster; it takes over an nginx that was left running."""
    arguments = (
        sys.executable, "-m", "cluster.ingress", "--dir", str(options.ingress_socket.parent),
        "--port", str(options.ingress_port),
    )
    return Program("ingress", arguments, _inherited(environ))


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_OUR_PREFIXES)}


def banner(options: Options, status: Mapping[str, Any]) -> str:
    """What the user sees once everything is up."""
    nodes = [
        {"node_id": node.get("node_id"), "state": node.get("state"),
         "is_healthy": node.get("is_healthy")}
        for node in status.get("nodes", ())
    ]
    short = {
        "leader_id": status.get("leader_id"), "term": status.get("term"),
        "cluster_size": status.get("cluster_size"),
    }
    shown = [json.dumps(short)[1:-1], *(json.dumps(node) for node in nodes)]
    lines = [
        "", "Orchestry is running.", "",
        f"  controllers  {'  '.join(options.urls)}",
        f"  API pages    {options.urls[0]}/docs",
        f"  data, logs   {options.folder}", "",
        f"  $ curl {options.urls[0]}/cluster/status", *(f"    {line}" for line in shown), "",
    ]
    if options.ingress != "none":
        ingress = f"http://127.0.0.1:{options.ingress_port}/"
        lines[4:4] = [f"  ingress      {ingress}"]
    if options.demo:
        port = "" if options.ingress_port == 80 else f":{options.ingress_port}"
        lines += [
            "  The demo, through the ingress:",
            f"  $ curl http://{DEMO_HOST}{port}/",
            f"  $ curl -H 'Host: {DEMO_HOST}' {ingress}", "",
        ]
    return "\n".join([*lines, "Ctrl-C stops all; the next start resumes.", ""])
