"""The ingress's image: nginx, its Lua module, and our files."""

from __future__ import annotations

import hashlib
from importlib import resources

from cluster.ingress import lua
from cluster.ingress.nginx import IngressConfig, render

HTTP_PORT, ADMIN_PORT = 8080, 9090
_HOME = "/opt/orchestry-ingress"
_COMMON = "# From here on also for a base that has these packages.\n"


def context(base: str = "") -> dict[str, bytes]:
    """The files to build from; `base` is an image that has the packages already.

    Without one they come from Debian, over the network.
    """
    dockerfile = (resources.files(__name__) / "Dockerfile").read_text()
    config = IngressConfig(
        directory=_HOME,
        listen=(f"0.0.0.0:{HTTP_PORT}",),
        admin=(f"0.0.0.0:{ADMIN_PORT}",),
        lua_directory=f"{_HOME}/lua",
        user="www-data www-data",
        error_log="stderr",
    )
    if base:
        dockerfile = f"FROM {base}\n{dockerfile.partition(_COMMON)[2]}"
    files = {"Dockerfile": dockerfile, "nginx.conf": render(config), "temp/.keep": ""}
    files |= {f"lua/{path}": text for path, text in lua.sources().items()}
    return {path: text.encode() for path, text in files.items()}


def tag(files: dict[str, bytes]) -> str:
    """The image's name: the same for the same files, so that it is built once."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(b"%s\0%d\0%s" % (path.encode(), len(files[path]), files[path]))
    return f"orchestry-ingress:{digest.hexdigest()[:12]}"
