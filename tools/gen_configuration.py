"""Write docs/configuration.md from the settings themselves: `python tools/gen_configuration.py`."""

# ruff: noqa: E501 - the pages have one sentence a line

from __future__ import annotations

from pathlib import Path

from cluster import config

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
- `CLUSTER_PEERS` may include this controller; its port there is then `CLUSTER_RAFT_PORT`.
  Where it is left out, its address is the host of `CONTROLLER_API_URL` with `CLUSTER_RAFT_PORT`, and must be what the others list.
- `CLUSTER_MODE` is `single` without peers and `cluster` with peers; the other combinations are errors.
- `CLUSTER_LEASE_TTL` is more than the Raft timeout of 0.6 s.
- `CONTROLLER_API_URL` is what clients are redirected to, so they must reach it.
"""


def page() -> str:
    """The whole page."""
    rows = []
    for definition in config.DEFINITIONS:
        default = config.shown_default(definition)
        rows.append(
            f"| `{definition.name}` | {f'`{default}`' if default else ''} | {definition.doc} |\n"
        )
    return HEAD + "".join(rows) + TAIL


if __name__ == "__main__":
    PAGE.write_text(page())
