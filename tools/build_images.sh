#!/bin/sh
# Build the images of the controller and of the ingress.
#   tools/build_images.sh [docker build options]
# The same files, base and packages make the same layers.
# ORCHESTRY_IMAGE and ORCHESTRY_INGRESS_IMAGE name them; BASE_IMAGE and INGRESS_BASE_IMAGE
# (one that has nginx and its Lua module) replace Debian's; PIP_INDEX_URL and PIP_CERT are pip's.
set -eu
cd "$(dirname "$0")/.."

controller=${ORCHESTRY_IMAGE:-orchestry:latest}
ingress=${ORCHESTRY_INGRESS_IMAGE:-orchestry-ingress:latest}
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' orchestry/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# The time of the revision, not of the build: who builds it again gets the same.
created=$(date -u -d "@$(git log -1 --format=%ct 2>/dev/null || echo 0)" +%Y-%m-%dT%H:%M:%SZ)

argument() { # the option for a variable that is set
    eval "value=\${$1:-}"
    [ -z "$value" ] || printf -- '--build-arg\n%s=%s\n' "$1" "$value"
}

old_ifs=$IFS
IFS='
'
set -- "$@" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --build-arg "CREATED=$created"
# shellcheck disable=SC2046 # one line is one option
docker build -q "$@" $(argument BASE_IMAGE; argument PIP_INDEX_URL; argument PIP_CERT) \
    -t "$controller" .
IFS=$old_ifs
python3 -m cluster.ingress.image ${INGRESS_BASE_IMAGE:+"$INGRESS_BASE_IMAGE"} |
    docker build -q "$@" -t "$ingress" -
