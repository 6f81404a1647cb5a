"""The ingress's nginx.conf: static, and closed to text that is not the operator's."""

from __future__ import annotations

import dataclasses

import pytest

from cluster.ingress.nginx import IngressConfig, render

CONFIG = IngressConfig(
    directory="/srv/ingress",
    listen=("127.0.0.1:8080", "[::1]:8080"),
    admin=("unix:/srv/ingress/admin.sock", "127.0.0.1:9090"),
    lua_directory="/srv/ingress/lua",
    user="www-data www-data",
    workers=3,
    connections=1000,
)


def test_the_operators_values_are_written() -> None:
    """Each value stands where nginx reads it."""
    text = render(CONFIG)
    for line in (
        "user www-data www-data;", "worker_processes 3;", "worker_connections 1000;",
        "worker_rlimit_nofile 2000;", 'listen "127.0.0.1:8080" backlog=1024;',
        'listen "[::1]:8080" backlog=1024;',
        'listen "unix:/srv/ingress/admin.sock" backlog=1024;',
        'listen "127.0.0.1:9090" backlog=1024;', 'pid "/srv/ingress/nginx.pid";',
        'lua_package_path "/srv/ingress/lua/?.lua;;";',
        'load_module "/usr/lib/nginx/modules/ngx_http_lua_module.so";',
    ):
        assert line in text
    assert text.count("{") == text.count("}")


def test_a_folder_may_have_spaces_and_letters_of_any_script() -> None:
    """People have such home folders; in quotes they are harmless."""
    assert 'pid "/home/Jörg Öz/my data/nginx.pid";' in render(
        dataclasses.replace(CONFIG, directory="/home/Jörg Öz/my data"))


def test_without_root_there_is_no_user_line() -> None:
    """nginx warns about `user` when it cannot change users."""
    assert "\nuser " not in f"\n{render(dataclasses.replace(CONFIG, user=''))}"


def test_every_file_that_nginx_writes_is_in_its_own_folder() -> None:
    """It must run with no right to /var and no fear of another nginx."""
    for line in render(CONFIG).splitlines():
        if line.strip().startswith(("pid ", "error_log ")) or "_temp_path " in line:
            assert ' "/srv/ingress/' in line


def test_no_construct_that_interprets_a_request_is_used() -> None:
    """No rewrite, no map, no regular expression, no include: nothing to inject into."""
    text = render(CONFIG)
    for word in ("rewrite ", "map ", "include ", "location ~"):
        assert word not in text
    assert text.count("if (") == text.count('if ($peers = "") { return 418; }') == 1


@pytest.mark.parametrize("change", [
    {"directory": "/srv/a;} server { listen 1;"},
    {"directory": "/srv/$host"},
    {"directory": "relative"},
    {"directory": '/srv/quote"'},
    {"directory": "/srv/back\\slash"},
    {"directory": "/srv/new\nline"},
    {"lua_directory": "/srv/lua;/tmp/?.lua"},
    {"modules_directory": "/usr/lib\"; load_module x"},
    {"listen": ("127.0.0.1:8080; return 200",)},
    {"listen": ("localhost:8080",)},
    {"admin": ('unix:/srv/a" ssl',)},
    {"admin": ("0.0.0.0:9090 ssl",)},
    {"user": "root; daemon on"},
    {"error_log": "/srv/x debug; y"},
])
def test_text_that_would_change_the_file_is_refused(change: dict[str, object]) -> None:
    """A value outside its grammar is an error, never written."""
    with pytest.raises(ValueError, match="cannot be written into"):
        render(dataclasses.replace(CONFIG, **change))  # type: ignore[arg-type]
