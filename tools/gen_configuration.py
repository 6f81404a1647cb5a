"""Write docs/configuration.md from the settings themselves: `python tools/gen_configuration.py`."""

# ruff: noqa: E501 - the pages have one sentence a line

from __future__ import annotations

from pathlib import Path

from cluster import config
from cluster.config.effective import default_of, shown
from cluster.config.keys import KEYS
from orchestry.spec.shapes import Faults, Shape

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

HEAD = """\
# Configuration of a controller

<!-- Written by tools/gen_configuration.py; do not edit. -->

`orchestry node` reads each setting from the environment, else from the YAML file of `--config`, else takes its default.
In the file the keys have the same names: `ORCHESTRY_PORT: 8001`.
An empty environment variable counts as not set.
Unknown names, in the file or in the environment under the prefixes `ORCHESTRY_`, `CLUSTER_`, `CONTROLLER_`, `INGRESS_` and `RATE_LIMIT_`, are errors, and all errors are told at once.
`orchestry node --print-config` shows every value with its source; secrets are masked.

| name | default | meaning |
|---|---|---|
"""

TAIL = """
## What must fit together

- `CLUSTER_SECRET` and `CLUSTER_SECRET_FILE` exclude each other; one of them is mandatory unless every address of the cluster is loopback.
- `ORCHESTRY_AUTH=auto` asks for tokens unless `ORCHESTRY_HOST` and every address of the cluster are loopback; all controllers should have the same. `on` needs `CLUSTER_SECRET` where there are several controllers. More in [access.md](access.md).
- `ORCHESTRY_BOOTSTRAP_TOKEN` and `ORCHESTRY_BOOTSTRAP_TOKEN_FILE` exclude each other; all controllers need the same one.
- `CLUSTER_PEERS` may include this controller; its port there is then `CLUSTER_RAFT_PORT`.
  Where it is left out, its address is the host of `CONTROLLER_API_URL` with `CLUSTER_RAFT_PORT`, and must be what the others list.
- `ORCHESTRY_SECRETS_KEY` and `ORCHESTRY_SECRETS_KEY_FILE` exclude each other; all controllers need the same keys, see [secrets.md](secrets.md).
- `CLUSTER_MODE` is `single` without peers and `cluster` with peers; the other combinations are errors.
- `ORCHESTRY_TLS_CERT` and `ORCHESTRY_TLS_KEY` belong together, and `CONTROLLER_API_URL` then begins with `https://`. `CLUSTER_TLS` needs both, and `ORCHESTRY_TLS_CA`. More in [tls.md](tls.md).
- `DOCKER_HOST` of another machine needs TLS: `DOCKER_TLS_CA`, and `DOCKER_TLS_CERT` with `DOCKER_TLS_KEY` where the daemon asks for a certificate, as it should; or `DOCKER_CERT_PATH` with all three.
  Certificates are always verified, whatever `DOCKER_TLS_VERIFY` says; no other CA and no proxy of the environment is used. Without TLS the controller starts with `DOCKER_INSECURE=true` only, and `GET /health` warns.
- `CLUSTER_LEASE_TTL` is more than the Raft timeout of 0.6 s.
- `CONTROLLER_API_URL` is what clients are redirected to, so they must reach it.
"""

SHARED = """
## What all controllers share

`GET /api/v1/config` and `orchestry cluster config get` show the keys below as they hold on the controller that answers, with the source of each: `cluster`, `environment`, `file` or `default`.
`PUT /api/v1/config` and `orchestry cluster config set` change them on all controllers, in the replicated state: a change outlives restarts, is in backups, beats the environment, and is told as an event of type `config`.
Only the keys that a request names change; `null`, or `unset`, takes a change back, so that the setting or the default holds again.
A restore brings the changes of the backup, and only those.

```shell
curl -X PUT localhost:8001/api/v1/config -H 'Content-Type: application/json' \\
  -d '{"scaling": {"default_cooldown": 300}, "health": {"default_timeout": 2}}'
orchestry cluster config set scaling.default_cooldown=300
```

*At once* means that every controller follows within a second of learning of the change.
*At the next start* is listed under `restart_required`: in the answer to the change, and in `GET` by each controller that still uses another value.
*Its own* cannot be changed for all controllers: a change of it is a `VALIDATION_ERROR` that names the variable to set.

| key | values | default | takes effect | meaning |
|---|---|---|---|---|
"""

WHEN = {"live": "at once", "restart": "at the next start", "node": "its own"}

SHARED_TAIL = """
- The defaults of cooldown and health checks hold for what a spec or a changed policy does not name. They are the same on every controller, restart no container, and change no revision.
- `controller.workers` is 1 by design: [0005](adr/0005-one-gunicorn-worker.md).
- With another `ingress.domain`, applications without hosts move at once: they answer under the new domain only. Where that would lead two applications to one address, the change is refused with `CONFLICT`.
- `scaling.default_check_interval` begins the windows of all applications anew, as another `windowSeconds` does for one.
- Masked are the secrets; they can be read nowhere.
"""


def page() -> str:
    """The whole page."""
    rows = []
    for definition in config.DEFINITIONS:
        default = config.shown_default(definition)
        rows.append(
            f"| `{definition.name}` | {f'`{default}`' if default else ''} | {definition.doc} |\n"
        )
    return HEAD + "".join(rows) + TAIL + SHARED + _shared() + SHARED_TAIL


def _shared() -> str:
    rows = []
    settings = config.load({})
    for key in KEYS:
        group, _, name = key.path.partition(".")
        value = shown({key.path: default_of(key, settings)[0]})[group][name]
        default = "" if value is None else f"`{value}`"
        if key.setting and key.when != "node":
            default += f", or `{key.setting}`"
        unit = " of seconds" if key.unit == "s" else f" of {key.unit}" if key.unit else ""
        values = "" if key.shape is None else _values(key.shape)
        values = values.replace(" number", f" number{unit}")
        remedy = f" Set {_coded(key.setting)}." if key.setting and key.when == "node" else ""
        rows.append(f"| `{key.path}` | {values} | {default} | "
                    f"{WHEN[key.when]} | {key.doc}{remedy} |\n")
    return "".join(rows)


def _values(shape: Shape) -> str:
    """What the key takes, in the words with which it refuses something else."""
    faults = Faults()
    shape.read({}, "", faults)
    return faults.problems[0].message.removeprefix("must be ").rpartition(", not ")[0]


def _coded(names: str) -> str:
    return " or ".join(f"`{name}`" for name in names.split(" or "))


if __name__ == "__main__":
    PAGE.write_text(page())
