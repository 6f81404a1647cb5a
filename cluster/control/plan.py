"""plan: what to start and what to stop for one app; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cluster.control.rollout import has_own_volumes
from cluster.engine.base import Container, Mount, RunRequest
from cluster.state.model import App, Place, Run
from cluster.state.replicas import name_of_slot
from cluster.state.runs import run_name
from cluster.state.secret_uses import field_of
from cluster.state.volume_names import volume_name
from orchestry.spec.model import AppSpec, EnvVar

NO_SPECS: Mapping[int, AppSpec] = {}
NO_SECRETS: Mapping[tuple[str, str], str] = {}


@dataclass(frozen=True, slots=True)
class Start:
    """Run the replica in this slot; `replaces` is the dead container that had it.

    `template` is 0 for the app's own; else the one of an older revision that a rollout keeps.
    """

    slot: int
    replaces: str = ""
    template: int = 0


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
    over: Collection[Place] = (),
    old_specs: Mapping[int, AppSpec] = NO_SPECS,
) -> tuple[Action, ...]:
    """Actions that bring `observed` to what `app` wants; empty when nothing is to do.

    `observed` are the app's containers. `app` is None for containers whose app is gone.
    `replace` are the ids of replicas that failed their checks; `over` the places whose replica
    ended and is not to come again, also when its container is gone; `old_specs` those of the older
    templates whose replicas a rollout wants.
    """
    if app is None or spec is None:
        return tuple(Stop(o.id, 10, "its application is gone") for o in observed)
    wanted = wanted_places(app)
    actions: list[Action] = []
    alive: set[Place] = set()
    dead: dict[Place, Container] = {}
    for container in observed:
        place = container.revision, container.slot
        if place not in wanted:
            actions.append(_stop(app, spec, container))
        elif container.phase == "running":
            alive.add(place)
            if container.id in replace:
                actions.append(Stop(
                    container.id, spec.termination.grace_period_s, "failed its health checks"))
        else:
            dead[place] = container
    for place in wanted:
        of = spec if place[0] == app.made_from else old_specs.get(place[0])
        if of is None or place in alive or place in over:
            continue
        if place in dead and not restarts(spec, dead[place]):
            continue
        if _is_taken(place, of, observed):
            continue
        template = 0 if place[0] == app.made_from else place[0]
        actions.append(Start(place[1], dead[place].id if place in dead else "", template))
    return tuple(actions)


def wanted_places(app: App) -> tuple[Place, ...]:
    """All places that are to be filled, those of the app's own template first."""
    if not app.running or app.deleting:
        return ()
    own = range(1, app.replicas + 1) if app.rollout is None else app.rollout.new
    mine = tuple((app.made_from, slot) for slot in own)
    return mine if app.rollout is None else mine + app.rollout.old


def _stop(app: App, spec: AppSpec, container: Container) -> Stop:
    grace_s = spec.termination.grace_period_s
    drain_s = 0 if app.stop_force else spec.termination.drain_s
    runs = app.running and not app.deleting and app.replicas
    if container.revision != app.made_from and runs:
        return Stop(container.id, grace_s, "of an older revision", drain_s)
    if runs:
        return Stop(container.id, grace_s, "scaled in", drain_s)
    if app.stop_force:
        grace_s = 0
    elif app.stop_grace_s is not None:
        grace_s = app.stop_grace_s
    return Stop(container.id, grace_s, "stopped", drain_s)


def _is_taken(place: Place, spec: AppSpec, observed: Sequence[Container]) -> bool:
    """Whether a replica of another template still writes to the slot's own volume."""
    return has_own_volumes(spec) and any(
        one.slot == place[1] and one.revision != place[0] for one in observed)


def restarts(spec: AppSpec, container: Container) -> bool:
    """Whether the restart policy wants a dead container back."""
    if container.phase == "created" or spec.restart_policy == "Always":
        return True
    return spec.restart_policy == "OnFailure" and container.exit_code != 0


def request(
    app: App, spec: AppSpec, slot: int, *, cluster_id: str, epoch: int, template: int = 0,
    secrets: Mapping[tuple[str, str], str] = NO_SECRETS, run: Run | None = None, pinned: str = "",
) -> RunRequest:
    """The order for one replica of a template, 0 for the app's own; `spec` is the template's.

    `secrets` has the values of the secrets that it names, by name and field; `pinned` is the
    image that its name stands for. With a `run`, the container does what that says, once, and
    has none of the volumes that belong to replicas.
    """
    template = template or app.made_from
    name = run_name(run) if run is not None else name_of_slot(app.name, slot)
    command, args = (run.command, ()) if run is not None and run.command else (
        spec.command, spec.args)
    return RunRequest(
        cluster_id=cluster_id, app=app.name, slot=slot, revision=template, epoch=epoch,
        image=spec.image, command=command, args=args, working_dir=spec.working_dir,
        environment=tuple(
            (variable.name, secrets[variable.key, field_of(variable)]
             if variable.source == "secret" else _value(variable, app, spec, name, template))
            for variable in spec.environment if not _is_address(variable)
        ),
        address_in=tuple(one.name for one in spec.environment if _is_address(one)),
        files=tuple((one.name, secrets[one.key, field_of(one)]) for one in spec.secret_files),
        cpu_millicores=spec.resources.cpu_millicores, memory_bytes=spec.resources.memory_bytes,
        mounts=tuple(
            Mount(
                volume_name(app.name, volume.name, slot if volume.per_replica else 0),
                volume.mount_path, volume.read_only,
            )
            for volume in spec.volumes if run is None or not volume.per_replica
        ),
        user=spec.security.user,
        read_only_root_filesystem=spec.security.read_only_root_filesystem,
        cap_add=spec.security.cap_add, cap_drop=spec.security.cap_drop,
        labels=spec.labels, stop_grace_s=spec.termination.grace_period_s,
        pinned=pinned, run=run.id if run is not None else 0,
    )


def _is_address(variable: EnvVar) -> bool:
    """Whether only the engine knows the value."""
    return variable.source == "sdk" and variable.key == "instance.ip"


def _value(variable: EnvVar, app: App, spec: AppSpec, name: str, template: int) -> str:
    if variable.source != "sdk":
        return variable.value or ""
    known: Mapping[str, object] = {
        "app.name": app.name, "app.replicas": app.replicas, "app.revision": template,
        "instance.id": name, "instance.port": spec.ports[0].container_port if spec.ports else "",
    }
    return str(known.get(variable.key, ""))
