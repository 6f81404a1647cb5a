"""plan: what to start and what to stop for one app; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cluster.engine.base import Container, Mount, RunRequest
from cluster.state.model import App
from orchestry.spec.model import AppSpec, EnvVar

RESTART_DELAY_MAX_S = 60.0
HEALTHY_RESET_S = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """Run the replica in this slot; `replaces` is the dead container that had it."""

    slot: int
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Take the container out of the ingress, let its requests end, stop and remove it.

    `drain_s` bounds the wait for its requests.
    """

    container_id: str
    grace_s: int
    why: str
    drain_s: int = 0


Action = Start | Stop


def plan(
    app: App | None,
    spec: AppSpec | None,
    observed: Sequence[Container],
    *,
    replace: Collection[str] = (),
) -> tuple[Action, ...]:
    """Actions that bring `observed` to what `app` wants; empty when nothing is to do.

    `observed` are the app's containers. `app` is None for containers whose app is gone.
    `replace` are the ids of replicas that failed their checks.
    """
    if app is None or spec is None:
        return tuple(Stop(o.id, 10, "its application is gone") for o in observed)
    wanted = app.replicas if app.running and not app.deleting else 0
    grace_s = spec.termination.grace_period_s
    drain_s = 0 if app.stop_force else spec.termination.drain_s
    stop_grace_s = 0 if app.stop_force else grace_s
    if app.stop_grace_s is not None and not app.stop_force:
        stop_grace_s = app.stop_grace_s
    actions: list[Action] = []
    alive: set[int] = set()
    dead: dict[int, Container] = {}
    for container in observed:
        if container.revision != app.revision:
            actions.append(Stop(container.id, grace_s, "of an older revision", drain_s))
        elif container.slot > wanted:
            why = "scaled in" if wanted else "stopped"
            grace = stop_grace_s if not wanted else grace_s
            actions.append(Stop(container.id, grace, why, drain_s))
        elif container.phase == "running":
            alive.add(container.slot)
            if container.id in replace:
                actions.append(Stop(container.id, grace_s, "failed its health checks"))
        else:
            dead[container.slot] = container
    for slot in range(1, wanted + 1):
        if slot not in alive and (slot not in dead or restarts(spec, dead[slot])):
            actions.append(Start(slot, dead[slot].id if slot in dead else ""))
    return tuple(actions)


def restarts(spec: AppSpec, container: Container) -> bool:
    """Whether the restart policy wants a dead container back."""
    if container.phase == "created" or spec.restart_policy == "Always":
        return True
    return spec.restart_policy == "OnFailure" and container.exit_code != 0


def restart_delay_s(failures: int) -> float:
    """Seconds before the next start after `failures` failures in a row.

    The first is repaired at once; then 1 s, doubling to 60 s.
    """
    return 0.0 if failures <= 1 else min(2.0 ** (failures - 2), RESTART_DELAY_MAX_S)


def request(
    app: App, spec: AppSpec, slot: int, *, cluster_id: str, epoch: int
) -> RunRequest:
    """The order for one replica."""
    return RunRequest(
        cluster_id=cluster_id, app=app.name, slot=slot, revision=app.revision, epoch=epoch,
        image=spec.image, command=spec.command, args=spec.args, working_dir=spec.working_dir,
        environment=tuple(
            (variable.name, _value(variable, app, spec, slot)) for variable in spec.environment
        ),
        cpu_millicores=spec.resources.cpu_millicores, memory_bytes=spec.resources.memory_bytes,
        mounts=tuple(
            Mount(
                f"orchestry-{app.name}-{volume.name}" + (f"-{slot}" if volume.per_replica else ""),
                volume.mount_path, volume.read_only,
            )
            for volume in spec.volumes
        ),
        user=spec.security.user,
        read_only_root_filesystem=spec.security.read_only_root_filesystem,
        cap_add=spec.security.cap_add, cap_drop=spec.security.cap_drop,
        labels=spec.labels, stop_grace_s=spec.termination.grace_period_s,
    )


def _value(variable: EnvVar, app: App, spec: AppSpec, slot: int) -> str:
    if variable.source != "sdk":
        return variable.value or ""
    known: Mapping[str, object] = {
        "app.name": app.name, "app.replicas": app.replicas, "app.revision": app.revision,
        "instance.id": f"{app.name}-{slot}", "instance.port": spec.ports[0].container_port,
    }
    return str(known.get(variable.key, ""))
