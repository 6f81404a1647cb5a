"""The ingress's image: nginx, its Lua module, and our files."""

from __future__ import annotations

import hashlib
import io
import tarfile
from importlib import resources
from pathlib import PurePosixPath

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
    root = f"root{_HOME}"
    api = (resources.files(__name__) / "api.conf").read_text()
    files = {"Dockerfile": dockerfile, f"{root}/nginx.conf": render(config),
             f"{root}/api.conf": api, f"{root}/api-tls.conf": with_tls(api)}
    files |= {f"{root}/lua/{path}": text for path, text in lua.sources().items()}
    return {path: text.encode() for path, text in files.items()}


def with_tls(api: str) -> str:
    """The load balancer of the API that speaks HTTPS, to clients and to controllers.

    It reads its certificate in each handshake, since the controllers renew it; on loopback it
    answers whoever asks for its own health in the clear.
    """
    for old, new in _TLS.items():
        if api.count(old) != 1:
            raise ValueError(f"api.conf has to have one line {old!r}")
        api = api.replace(old, new)
    return api


_TLS = {
    "env API_CONTROLLERS;": "env API_CONTROLLERS;\nenv API_TLS_NAME;",
    'orchestry_ingress.api").init()': 'orchestry_ingress.api").init(true)',
    "    lua_socket_log_errors off;\n": """\
    lua_socket_log_errors off;
    lua_ssl_trusted_certificate "/etc/orchestry/ca.crt";
    lua_ssl_verify_depth 3;
    map "" $certificates {
        default "/etc/orchestry/tls";
    }
""",
    "    server {\n        listen 8000 backlog=1024;\n": """\
    server {
        listen 127.0.0.1:8001;
        location = /.load-balancer {
            return 204;
        }
    }

    server {
        listen 8000 ssl backlog=1024;
        ssl_certificate $certificates/node.crt;
        ssl_certificate_key $certificates/node.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets off;
""",
    "            proxy_pass http://controllers;\n": """\
            set_by_lua_block $controller { return require("orchestry_ingress.api").tls_name() }
            proxy_pass https://controllers;
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 3;
            proxy_ssl_trusted_certificate "/etc/orchestry/ca.crt";
            proxy_ssl_name $controller;
""",
}


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
        # Folders that nobody names get the time at which they are unpacked.
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
        for folder in sorted(folders - {"."}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()
