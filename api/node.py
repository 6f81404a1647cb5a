"""`orchestry node`: one controller, from environment variables and an optional file."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from cluster import config
from cluster.config import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one controller until a signal ends it.

    Returns 0, 1 when it cannot start, 2 for wrong settings.
    """
    options = _options().parse_args(argv)
    try:
        settings = config.load(os.environ, options.config)
    except config.SettingsError as error:
        for problem in error.problems:
            print(f"orchestry node: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    if options.print_config:
        print(_printed(settings, as_json=options.json))  # noqa: T201
        return 0
    taken = _port_fault(settings)
    if taken:
        print(f"orchestry node: {taken}", file=sys.stderr)  # noqa: T201
        return 1
    from api import logs
    from api.server import Server
    from cluster.controller import Controller

    logs.configure(settings.log_level, settings.node_id)
    return Server(settings, Controller.from_settings).serve()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestry node", description="Run one controller; settings come from the "
        "environment first, then from the file, then from defaults.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file of settings")
    parser.add_argument(
        "--print-config", action="store_true", help="show every setting with its source, and end"
    )
    parser.add_argument("--json", action="store_true", help="--print-config as JSON")
    return parser


def _printed(settings: Settings, *, as_json: bool) -> str:
    rows = config.describe(settings)
    if as_json:
        return orjson.dumps(
            [{"name": r.name, "value": r.value, "source": r.source, "doc": r.doc} for r in rows],
            option=orjson.OPT_INDENT_2,
        ).decode()
    names = max(len(row.name) for row in rows)
    values = max(len(row.value) for row in rows)
    return "\n".join(f"{r.name:<{names}}  {r.value:<{values}}  {r.source}" for r in rows)


def _port_fault(settings: Settings) -> str:
    """Why the API cannot listen, else empty: a clear word before gunicorn retries."""
    host, port = settings.host.strip("[]"), settings.port
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        return f"ORCHESTRY_HOST {host} cannot be resolved: {error.strerror}"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {port} on {host} is taken by another process; set ORCHESTRY_PORT"
        if error.errno == errno.EADDRNOTAVAIL:
            return f"this machine has no address {host}; set ORCHESTRY_HOST"
        return f"cannot listen on {host}:{port} (ORCHESTRY_HOST, ORCHESTRY_PORT): {error.strerror}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
