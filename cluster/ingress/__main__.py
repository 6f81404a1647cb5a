"""`python -m cluster.ingress`: one ingress in the foreground, started again when it dies."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from cluster.ingress.base import IngressError
from cluster.ingress.local import LocalNginx
from cluster.ingress.nginx import TOKEN_VARIABLE

CHECK_S = 0.2


def main(argv: list[str] | None = None) -> int:
    """0 after SIGTERM or SIGINT, 1 when nginx cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m cluster.ingress", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder of its own")
    parser.add_argument("--port", type=int, default=8080, help="HTTP port (8080)")
    parser.add_argument("--tls-port", type=int, default=0, help="HTTPS port (none)")
    parser.add_argument("--address", default="127.0.0.1", help="HTTP address (127.0.0.1)")
    parser.add_argument("--admin", action="append", default=[], metavar="ADDRESS:PORT",
                        help="a further admin listener; INGRESS_ADMIN_TOKEN is who may set routes")
    parser.add_argument("--workers", type=int, default=0, help="worker processes (processors)")
    options = parser.parse_args(argv)
    if not os.environ.get(TOKEN_VARIABLE):
        for one in options.admin:
            if not one.startswith(("127.", "unix:")):
                parser.error(f"--admin {one}: whoever reaches it would set the routes; set "
                             f"{TOKEN_VARIABLE}, or listen on 127.0.0.1")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    nginx = LocalNginx(options.dir, options.port, address=options.address,
                       admin=tuple(options.admin), workers=options.workers,
                       tls_port=options.tls_port)
    try:
        nginx.start()
    except IngressError as error:
        _say(error.reason)
        return 1
    _say(f"serving on http://{options.address}:{options.port}, push to {nginx.endpoint}")
    while not stop.wait(CHECK_S):
        try:
            if nginx.ensure():
                _say("nginx had died and runs again")
        except IngressError as error:
            _say(error.reason)
    nginx.stop()
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"ingress: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
