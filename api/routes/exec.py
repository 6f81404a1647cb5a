"""Exec: a command in a container of an application, beside what runs there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from flask import Response

from api import describe
from api.access import must_reach_secret, still_allowed
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import app_of, config_of, here, must_have_engine, read
from api.models import AppPath
from api.models_exec import MESSAGE_BYTES_MAX, ExecQuery
from api.streams.accept import accept
from api.streams.exec import Asked
from api.writes import PATH_MAX, WRITE_WAIT_S, origin_of
from cluster.engine.execution import ExecOrder
from cluster.state.commands import Origin, RecordEvent, Stamp
from cluster.state.model import App, Replica
from cluster.state.replicas import chosen, name_of_slot, replica_name
from cluster.state.secret_uses import uses_now, uses_of_template
from orchestry.errors import Code, OrchestryError

PROGRAM_CHARACTERS_MAX = 100

blueprint = Blueprint(
    "exec", __name__, url_prefix="/api/v1/apps", abp_tags=[{"name": "Exec"}],
)


@blueprint.get("/<app_name>/exec", operation_id="exec_app", responses={
    101: describe.STREAM[101]})
@checked
def exec_app(path: AppPath, query: ExecQuery) -> Response:
    """Run a command in a container of the application, where the cluster allows it.

    A WebSocket in both directions: docs/exec.md has the messages. The client's first one says
    what to run, so that its words are in no address; it is noted in the log before it begins.
    """
    state = read(query)
    app = app_of(state, path.app_name)
    if not config_of(state).exec_on:
        raise OrchestryError(
            Code.FORBIDDEN, "Commands in containers are switched off on this cluster: an "
            "administrator switches them on with `orchestry cluster config set exec.enabled=true`")
    replica = _replica(app, query.replica)
    for name in sorted(uses_now(app) | uses_of_template(app, replica.revision)):
        must_reach_secret(name)  # the command may print them
    if here().controller.log.leader_id() is None:
        raise OrchestryError(
            Code.CLUSTER_NOT_READY, "This controller knows no leader to note the command with")
    must_have_engine()
    execs = here().streams.execs
    release = execs.reserve()
    if release is None:
        raise OrchestryError(
            Code.CLUSTER_NOT_READY,
            f"This node carries {execs.count} commands already; end some, ask another node, or "
            "raise `exec.max_sessions`")
    asked = Asked(replica.container_id, replica_name(app.name, replica), _note(app.name, replica))
    try:
        return accept(
            execs.feed(asked), listens_bytes_max=MESSAGE_BYTES_MAX, also=release)
    except BaseException:
        release()
        raise


def _replica(app: App, slot: int | None) -> Replica:
    found = chosen(app.reports, slot)
    if found is not None:
        return found
    running = sorted({one.slot for one in app.reports if one.phase == "running"})
    if not running:
        raise OrchestryError(
            Code.CONFLICT, f"Application '{app.name}' has no replica that runs: start it with "
            f"`orchestry up {app.name}`, or see `orchestry status {app.name}`")
    raise OrchestryError(
        Code.NOT_FOUND, f"Replica {name_of_slot(app.name, slot or 0)} does not run; those that do: "
        f"{', '.join(name_of_slot(app.name, one) for one in running)}")


def _note(app: str, replica: Replica) -> Callable[[ExecOrder], None]:
    """What writes down who runs which program where; for another thread, after this request.

    Neither arguments nor input, which may hold secrets: an entry of the audit is for ever, and in
    every backup.
    """
    controller, allowed = here().controller, still_allowed()
    origin = origin_of(controller) if controller.settings.auth_on else None
    name = name_of_slot(app, replica.slot)

    def note(order: ExecOrder) -> None:
        program = "".join(one if one.isprintable() else "?" for one in
                          order.command[0][:PROGRAM_CHARACTERS_MAX])
        arguments = len(order.command) - 1
        event = RecordEvent(
            "config", app, f"Command {program} begins in {name}",
            (("replica", name), ("program", program), ("arguments", arguments),
             ("terminal", order.terminal is not None)))
        stamp = Stamp(
            controller.clock.wall_ms(), controller.id,
            origin=None if origin is None else _with(origin, replica.slot, program, arguments))
        applied = controller.log.submit(event, stamp).wait(WRITE_WAIT_S)
        if applied.rejected is not None:
            raise OrchestryError(applied.rejected, applied.details)
        # The entry is applied here now, and so is all that came before it.
        config = controller.configured(controller.log.state().config)
        if not (allowed() and config.exec_on):
            raise OrchestryError(Code.FORBIDDEN, "The right to it ended before it began")

    return note


def _with(origin: Origin, slot: int, program: str, arguments: int) -> Origin:
    more = f"?replica={slot}&arguments={arguments}&program={quote(program)}"
    return replace(origin, path=(origin.path[:PATH_MAX // 2] + more)[:PATH_MAX])
