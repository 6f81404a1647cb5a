"""`init`: a spec to start from."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, UsageError
from orchestry.errors import OrchestryError

SPEC = """\
# An app for Orchestry. Check it with `orchestry validate FILE`, send it with
# `orchestry register FILE`, start it with `orchestry up {name}`.
apiVersion: v1
kind: App

metadata:
  name: {name}                # its name in the cluster; also its host, {name}.<ingress domain>
  # labels:
  #   team: web

spec:
  type: http                  # http | tcp
  image: {image}
  ports:                      # the first takes the traffic
    - containerPort: {port}
  resources:                  # limits of one replica
    cpu: 100m                 # thousandths of a core
    memory: 128Mi
  # environment:
  #   - name: LOG_LEVEL
  #     value: info
  #   - name: INSTANCE
  #     source: sdk           # filled in by Orchestry
  #     key: instance.id
  # volumes:
  #   - name: data
  #     mountPath: /data
  # ingress:
  #   hosts: [{name}.example.com]

scaling:
  mode: auto                  # manual: only you change the number of replicas
  minReplicas: 1
  maxReplicas: 5
  targetRPSPerReplica: 50     # more load than this, or one of the next, adds replicas
  maxCPUPercent: 70
  maxMemoryPercent: 75
  maxP95LatencyMs: 250
  # cooldownSeconds: 180      # after a change, no scale-in for so long

healthCheck:
  path: /                     # answered with 200 to 399 by a healthy replica
  periodSeconds: 10
  initialDelaySeconds: 5
  # timeoutSeconds: 5
  # failureThreshold: 3

# termination:
#   drainSeconds: 30          # requests under way are finished
#   terminationGracePeriodSeconds: 30
"""


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", default="my-app")
@click.option("--image", metavar="IMAGE", default="nginx:alpine", show_default=True,
              help="Image of its containers.")
@click.option("--port", metavar="PORT", type=click.IntRange(1, 65535), default=80,
              show_default=True, help="Port on which a container listens.")
@click.option("--output", "-o", metavar="FILE",
              help="Where to write it; `-` is standard output. Default: NAME.yml.")
@click.option("--force", "-f", is_flag=True, help="Replace an existing file.")
def init(
    session: Session, *, name: str, image: str, port: int, output: str | None, force: bool
) -> None:
    """Write a commented spec to start from."""
    from orchestry.manifest import load_documents
    from orchestry.spec.parse import parse_app

    text = SPEC.format(name=name, image=image, port=port)
    try:
        (document,) = load_documents(text)
        parse_app(document)
    except (OrchestryError, ValueError) as error:
        raise UsageError(f"that would be no spec: {printable(str(error))}") from None
    file = f"{name}.yml" if output is None else output
    if file != "-":
        if Path(file).exists() and not force:
            raise UsageError(f"{file} exists; give --force to replace it")
        Path(file).write_text(text, encoding="utf-8")
    if session.out.as_json:
        session.out.document({"app_name": name, "file": file, "spec": document})
    elif file == "-":
        sys.stdout.write(text)
    else:
        session.out.result(f"{file}: written. Next: orchestry register {file}")


COMMANDS = (init,)
