"""render: the ingress's nginx.conf; pure.

The file is static. Hosts, paths and replicas never reach it: they are data in nginx's
shared memory, pushed as JSON, so nothing that a user writes is ever parsed as configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TABLE_LIMIT_BYTES = 8 * 1024**2
TOKEN_VARIABLE = "INGRESS_ADMIN_TOKEN"  # noqa: S105 - the name of a variable, not a secret
ERROR_PATH = "/.orchestry-ingress-error"

# Written in double quotes; `;` and `?` mean something to Lua's search path.
_PATH = re.compile(r"""/[^\x00-\x1f\x7f"'\\$;?{}#]*""")
_LISTEN = re.compile(r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:]+\]):[0-9]{1,5}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}( [a-z_][a-z0-9_-]{0,31})?")


@dataclass(frozen=True, slots=True)
class IngressConfig:
    """What the file depends on; all of it is the operator's, none of it an app's.

    `listen` and `admin` are `address:port`, `admin` also `unix:/path`. `user` is `name` or
    `name group` for the workers, empty when nginx doesn't run as root. `connections` is per
    worker; it needs twice as many files. `error_log` is a file or `stderr`; it, the file `pid`
    and the folder `temp`, which must exist, are in `directory` by default. `tls_listen` are
    addresses for HTTPS.
    """

    directory: str
    listen: tuple[str, ...]
    admin: tuple[str, ...]
    lua_directory: str
    modules_directory: str = "/usr/lib/nginx/modules"
    workers: int = 2
    connections: int = 4096
    user: str = ""
    error_log: str = ""
    pid: str = ""
    temp: str = ""
    tls_listen: tuple[str, ...] = ()


def render(config: IngressConfig) -> str:
    """The nginx.conf. ValueError names a value that cannot be written into it safely."""
    for path in (config.directory, config.lua_directory, config.modules_directory):
        _check("directory", _PATH, path)
    for listen in (*config.listen, *config.tls_listen):
        _check("listen address", _LISTEN, listen)
    for listen in config.admin:
        if listen.startswith("unix:"):
            _check("admin socket", _PATH, listen.removeprefix("unix:"))
        else:
            _check("admin address", _LISTEN, listen)
    if config.user:
        _check("user", _USER, config.user)
    error_log = config.error_log or f"{config.directory}/error.log"
    if error_log != "stderr":
        _check("error log", _PATH, error_log)
    pid = config.pid or f"{config.directory}/nginx.pid"
    temp = config.temp or f"{config.directory}/temp"
    _check("pid file", _PATH, pid)
    _check("directory", _PATH, temp)
    return _TEMPLATE.format(
        pid=pid,
        temp=temp,
        user=f"user {config.user};" if config.user else "# not root: no `user`",
        directory=config.directory,
        lua=config.lua_directory,
        modules=config.modules_directory,
        workers=config.workers,
        files=config.connections * 2,
        connections=config.connections,
        error_log=error_log,
        listens=_listens(config.listen),
        tls=_tls(config.tls_listen),
        admin_listens=_listens(config.admin),
        token=TOKEN_VARIABLE,
        table_limit=TABLE_LIMIT_BYTES,
        error_path=ERROR_PATH,
    )


def _tls(listens: tuple[str, ...]) -> str:
    """HTTPS for the same routes; certificates are in memory as they are."""
    if not listens:
        return "# no HTTPS"
    lines = [f'listen "{listen}" ssl backlog=1024;' for listen in listens]
    return "\n        ".join([*lines, *_TLS])


# nginx wants a certificate to be named, and never looks at this one.
_TLS = (
    'set $no_certificate "";',
    'ssl_certificate "data:$no_certificate";',
    'ssl_certificate_key "data:$no_certificate";',
    'ssl_certificate_by_lua_block { require("orchestry_ingress.https").certificate() }',
    "ssl_protocols TLSv1.2 TLSv1.3;",
    "ssl_session_tickets off;",
)


def _check(what: str, grammar: re.Pattern[str], value: str) -> None:
    if not grammar.fullmatch(value):
        raise ValueError(f"{what} {value!r} cannot be written into nginx.conf: "
                         f"it must match {grammar.pattern}")


def _listens(listens: tuple[str, ...]) -> str:
    return "\n        ".join(f'listen "{listen}" backlog=1024;' for listen in listens)


_TEMPLATE = """\
{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile {files};
worker_shutdown_timeout 10s;
pid "{pid}";
error_log "{error_log}" error;
env {token};
load_module "{modules}/ndk_http_module.so";
load_module "{modules}/ngx_http_lua_module.so";

events {{
    worker_connections {connections};
}}

http {{
    access_log off;
    server_tokens off;
    default_type application/octet-stream;
    client_body_temp_path "{temp}/body";
    proxy_temp_path "{temp}/proxy";
    fastcgi_temp_path "{temp}/fastcgi";
    uwsgi_temp_path "{temp}/uwsgi";
    scgi_temp_path "{temp}/scgi";

    lua_package_path "{lua}/?.lua;;";
    # Two tables of the greatest size and as much again for the allocator.
    lua_shared_dict orchestry_table 32m;
    lua_shared_dict orchestry_stats 32m;
    lua_shared_dict orchestry_peers 4m;
    lua_shared_dict orchestry_waiting 1m;
    init_by_lua_block {{ require("orchestry_ingress.start").master() }}
    init_worker_by_lua_block {{ require("orchestry_ingress.start").worker() }}

    client_header_timeout 15s;
    client_body_timeout 60s;
    send_timeout 60s;
    keepalive_timeout 75s;
    keepalive_requests 100000;
    reset_timedout_connection on;

    error_page 400 404 405 408 413 414 500 501 502 503 504 505 {error_path};
    error_page 494 =431 {error_path};
    error_page 418 = @not_at_once;
    recursive_error_pages on;

    # The address is a placeholder: the balancer sets the peer of each try. Connections idle
    # for 4 s are closed here, before common servers (5 s) close them under a request.
    upstream orchestry_kept {{
        server 0.0.0.1;
        balancer_by_lua_block {{ require("orchestry_ingress.ingress").balance() }}
        keepalive 128;
        keepalive_requests 100000;
        keepalive_timeout 4s;
    }}
    upstream orchestry_fresh {{
        server 0.0.0.1;
        balancer_by_lua_block {{ require("orchestry_ingress.ingress").balance() }}
    }}

    server {{
        {listens}
        {tls}
        server_name _;
        add_header Strict-Transport-Security $hsts always;
        # Bodies stream both ways: no limit of ours, nothing on disk, events arrive at once.
        client_max_body_size 0;
        log_by_lua_block {{ require("orchestry_ingress.ingress").log() }}

        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_buffer_size 16k;
        proxy_buffers 4 16k;
        proxy_connect_timeout 1s;
        proxy_read_timeout 60s;
        proxy_send_timeout 60s;
        # A request that a replica may have begun is sent again only when it is a GET,
        # HEAD or OPTIONS (the others never ride on a kept connection), and not after 3 s.
        proxy_next_upstream error timeout;
        proxy_next_upstream_timeout 3s;
        proxy_redirect off;
        # An app's answer must not send the request on to another place in here.
        proxy_ignore_headers X-Accel-Redirect X-Accel-Limit-Rate X-Accel-Charset;
        proxy_set_header Host $host_to_peer;
        proxy_set_header Upgrade $upgrade;
        proxy_set_header Connection $connection_to_peer;
        # What the client says about itself is not passed on: this is the edge.
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Request-Id $request_id;
        proxy_set_header Forwarded "";

        location / {{
            set $hsts "";
            set $upgrade "";
            set $connection_to_peer "";
            set $host_to_peer $http_host;
            set $body_or_upgrade "$http_upgrade$http_content_length$http_transfer_encoding";
            set_by_lua_block $peers {{ return require("orchestry_ingress.ingress").choose() }}
            if ($peers = "") {{ return 418; }}
            proxy_pass http://$peers;
        }}
        location @not_at_once {{
            access_by_lua_block {{ require("orchestry_ingress.ingress").access() }}
            proxy_pass http://$peers;
        }}
        location = {error_path} {{
            internal;
            content_by_lua_block {{ require("orchestry_ingress.answer").page() }}
        }}
    }}

    server {{
        {admin_listens}
        server_name _;
        client_max_body_size {table_limit};
        client_body_buffer_size {table_limit};
        location / {{
            content_by_lua_block {{ require("orchestry_ingress.admin").handle() }}
        }}
        location = {error_path} {{
            internal;
            content_by_lua_block {{ require("orchestry_ingress.answer").page() }}
        }}
    }}
}}
"""
