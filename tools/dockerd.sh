#!/bin/sh
# Start dockerd when no daemon answers; stop only what was started here.
#   tools/dockerd.sh start | stop | status
# ORCHESTRY_DOCKERD_DIR keeps its pid file and its log (default /var/tmp/orchestry-dockerd).
set -eu

dir=${ORCHESTRY_DOCKERD_DIR:-/var/tmp/orchestry-dockerd}
host=${DOCKER_HOST:-unix:///var/run/docker.sock}
pid_file=$dir/pid
containerd_pid_file=/var/run/docker/containerd/containerd.pid
ready_s=60
stop_s=30

answers() {
    case $host in
        unix://*) [ -S "${host#unix://}" ] && curl -sf -m 3 -o /dev/null \
            --unix-socket "${host#unix://}" http://docker/_ping ;;
        tcp://*) curl -sf -m 3 -o /dev/null "http://${host#tcp://}/_ping" ;;
        *) return 1 ;;
    esac
}

# A process that ended is no longer alive, even before its parent, perhaps a lazy init, reaps it.
alive() { # pid
    grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
}

ours() {
    [ -s "$pid_file" ] && alive "$(cat "$pid_file")" &&
        grep -qx dockerd "/proc/$(cat "$pid_file")/comm"
}

say() { echo "dockerd.sh: $*" >&2; }

start() {
    answers && return 0
    if ! command -v curl >/dev/null; then
        say "curl is missing. Install it: apt-get install -y curl"; return 1
    fi
    if ! command -v dockerd >/dev/null; then
        say "no Docker daemon answers at $host and dockerd is not installed."
        say "Install it: apt-get install -y --no-install-recommends docker.io iptables"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "no Docker daemon answers at $host. Start it as root: systemctl start docker"
        return 1
    fi
    case $host in
        unix://*) ;;
        *) say "no Docker daemon answers at $host, and only a local one can be started."
           return 1 ;;
    esac
    mkdir -p "$dir"
    exec 9>"$dir/lock"
    flock -w "$ready_s" 9 || { say "another start is under way"; return 1; }
    answers && return 0
    # The pid file of a dead daemon, or of its containerd, would keep a new one from starting.
    ours || rm -f "$pid_file"
    if [ -s "$containerd_pid_file" ] && ! alive "$(cat "$containerd_pid_file")"; then
        rm -f "$containerd_pid_file"
    fi
    setsid dockerd -H "$host" --pidfile "$pid_file" >"$dir/log" 2>&1 </dev/null 9>&- &
    started=$!
    tries=$((ready_s * 5))
    until answers; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || ! alive "$started"; then
            say "dockerd did not become ready within $ready_s s; the end of $dir/log:"
            tail -n 5 "$dir/log" >&2
            return 1
        fi
        sleep 0.2
    done
    say "started dockerd, pid $(cat "$pid_file")"
}

stop() {
    ours || return 0
    pid=$(cat "$pid_file")
    kill "$pid"
    tries=$((stop_s * 5))
    while alive "$pid"; do
        tries=$((tries - 1))
        [ "$tries" = 0 ] && { say "dockerd, pid $pid, does not stop"; return 1; }
        sleep 0.2
    done
    rm -f "$pid_file"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    status) answers ;;
    *) say "usage: dockerd.sh start | stop | status"; exit 2 ;;
esac
