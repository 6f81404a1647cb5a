#!/bin/sh
# Write the variables that docker-compose.cluster.yml needs, secrets among them, into a file
# that only its owner can read. A file that exists is never touched.
#   tools/secrets.sh [FILE]     (.env by default)
# PUBLIC_HOST and DOCKER_SOCKET may be given in the environment.
set -eu

file=${1:-.env}
socket=${DOCKER_SOCKET:-/var/run/docker.sock}

say() { echo "secrets: $*" >&2; }

random() {
    value=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    [ ${#value} = 64 ] || { say "cannot read /dev/urandom"; exit 1; }
    echo "$value"
}

if [ -e "$file" ] || [ -L "$file" ]; then
    say "$file is there already and stays as it is"
    exit 0
fi
[ -S "$socket" ] || { say "$socket is no socket; start Docker, or set DOCKER_SOCKET"; exit 1; }

# Clients and controllers alike must reach the controllers here: no loopback address.
host=${PUBLIC_HOST:-}
if [ -z "$host" ]; then
    host=$(hostname -I 2>/dev/null | cut -d' ' -f1)
    [ -n "$host" ] || { say "this machine has no address; set PUBLIC_HOST"; exit 1; }
fi

cluster=$(random) postgres=$(random) redis=$(random) ingress=$(random) token=$(random)
key=$(random)
umask 077
part=$(mktemp "$file.XXXXXX")
trap 'rm -f "$part"' EXIT
cat >"$part" <<END
# Written by tools/secrets.sh; keep it to yourself.
CLUSTER_SECRET=$cluster
# The first admin token: export ORCHESTRY_TOKEN for the command line, then make others.
ORCHESTRY_BOOTSTRAP_TOKEN=$token
# Secrets of applications are kept under it: without it, no backup brings them back.
ORCHESTRY_SECRETS_KEY=$key
POSTGRES_PASSWORD=$postgres
REDIS_PASSWORD=$redis
INGRESS_ADMIN_TOKEN=$ingress
# Where clients and controllers reach the published ports of this machine.
PUBLIC_HOST=$host
DOCKER_SOCKET=$socket
DOCKER_GID=$(stat -c %g "$socket")
END
# A link fails when another run was quicker.
if ln "$part" "$file" 2>/dev/null; then
    say "wrote $file; the controllers are to be reached at $host (PUBLIC_HOST)"
else
    say "$file is there already and stays as it is"
fi
