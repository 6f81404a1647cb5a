"""The images of docker-compose.cluster.yml, made here: ours, and stand-ins for public ones.

The stand-ins have the interface of the public images that the compose file uses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster.ingress.local import APT_PACKAGES
from tests.images import debian

ROOT = Path(__file__).parents[2]
BUILD_S = 240
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_RUN = ("passwd", "ca-certificates", "python3", "libpq5", "postgresql", "redis-server")
_BUILD = ("gcc", "libc6-dev", "libpq-dev", "python3-dev", "python3-venv")
_POSTGRES = """\
FROM {base}
ENV PGDATA=/var/lib/postgresql/data
RUN install -d -o postgres -g postgres -m 0700 $PGDATA \\
    && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
COPY entrypoint /entrypoint
USER postgres
STOPSIGNAL SIGINT
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["sh", "/entrypoint"]
"""
_POSTGRES_ENTRYPOINT = """\
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile /tmp/password --auth-local trust \\
        --auth-host scram-sha-256 -E UTF8 --locale C >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=" -w start >/dev/null
    createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
fi
exec postgres -D "$PGDATA" -c "listen_addresses=*"
"""


def tools() -> dict[str, list[str]]:
    """The commands that the compose file has to work with, by the generation of the tool."""
    plugin = ["docker", "compose"]
    has_plugin = subprocess.run(
        [*plugin, "version"], capture_output=True, check=False, timeout=30).returncode == 0
    own = Path(sys.executable).with_name("docker-compose-v2")  # tools/bootstrap.sh puts it there
    newer = plugin if has_plugin else [shutil.which(own.name) or str(own)]
    return {"1": ["docker-compose"], "2": newer}


def build_all(folder: Path) -> dict[str, str]:
    """Build all of them; returns the variables that name them to the compose file."""
    base = debian.build("orchestry-test-debian", *_RUN, *_BUILD, *APT_PACKAGES)
    tag = base.partition(":")[2]
    names = {
        "ORCHESTRY_IMAGE": f"orchestry-test-controller:{tag}",
        "ORCHESTRY_INGRESS_IMAGE": f"orchestry-test-ingress:{tag}",
        "POSTGRES_IMAGE": f"orchestry-test-postgres:{tag}",
        "REDIS_IMAGE": base,
    }
    variables = {"BASE_IMAGE": base, "INGRESS_BASE_IMAGE": base, "DOCKER_BUILDKIT": "0"}
    if CERTIFICATES.exists():
        variables["PIP_CERT"] = str(CERTIFICATES)
    done = subprocess.run(
        [str(ROOT / "tools" / "build_images.sh"), "--network", "host"],
        env=os.environ | variables | names, capture_output=True, text=True, check=False,
        timeout=BUILD_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    with tempfile.TemporaryDirectory(dir=folder) as context:
        (Path(context) / "Dockerfile").write_text(_POSTGRES.format(base=base))
        (Path(context) / "entrypoint").write_text(_POSTGRES_ENTRYPOINT)
        subprocess.run(
            ["docker", "build", "-q", "--network", "host", "-t", names["POSTGRES_IMAGE"], context],
            env=os.environ | {"DOCKER_BUILDKIT": "0"}, capture_output=True, check=True,
            timeout=BUILD_S)
    return names
