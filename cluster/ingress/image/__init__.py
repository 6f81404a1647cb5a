"""The ingress's image: nginx, its Lua module, and our files."""

from __future__ import annotations

import hashlib
import io
import tarfile
from importlib import resources

from cluster.ingress import lua
from cluster.ingress.nginx import IngressConfig, render

HTTP_PORT, TLS_PORT, ADMIN_PORT = 8080, 8443, 9090
_HOME = "/opt/orchestry-ingress"
_TEMP = "/tmp"  # noqa: S108 - the container's own; all else may be read-only
_COMMON = "# From here on also for a base that has these packages.\n"


def context(base: str = "") -> dict[str, bytes]:
    """The files to build from; `base` is an image that has the packages already.

    Without one they come from Debian, over the network.
    """
    dockerfile = (resources.files(__name__) / "Dockerfile").read_text()
    config = IngressConfig(
        directory=_HOME,
        listen=(f"0.0.0.0:{HTTP_PORT}",),
        tls_listen=(f"0.0.0.0:{TLS_PORT}",),
        admin=(f"0.0.0.0:{ADMIN_PORT}",),
        lua_directory=f"{_HOME}/lua",
        error_log="stderr",
        pid=f"{_TEMP}/nginx.pid",
        temp=_TEMP,
    )
    if base:
        dockerfile = f"FROM {base}\n{dockerfile.partition(_COMMON)[2]}"
    files = {"Dockerfile": dockerfile, "nginx.conf": render(config)}
    files["api.conf"] = (resources.files(__name__) / "api.conf").read_text()
    files |= {f"lua/{path}": text for path, text in lua.sources().items()}
    return {path: text.encode() for path, text in files.items()}


def tag(files: dict[str, bytes]) -> str:
    """The image's name: the same for the same files, so that it is built once."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(b"%s\0%d\0%s" % (path.encode(), len(files[path]), files[path]))
    return f"orchestry-ingress:{digest.hexdigest()[:12]}"


def archive(files: dict[str, bytes]) -> bytes:
    """The files as a tar archive for `docker build -`; the same for the same files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()
