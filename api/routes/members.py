"""Members: add and remove controllers at run time, and hand leadership over."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

from flask import Response

from api import answers_cluster as answers
from api import errors, writes
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ReadQuery, WriteHeaders, WriteQuery
from api.models_cluster import MemberBody, MemberPath, TransferBody
from api.routes.cluster import addresses
from cluster.config import readers
from cluster.consensus.membership import majority
from cluster.state.commands import ChangeMembers, RecordEvent
from cluster.state.model import ClusterState
from orchestry.errors import Code, OrchestryError

LISTENS_S = 1.0
blueprint = Blueprint(
    "members", __name__, url_prefix="/cluster",
    abp_tags=[{"name": "Cluster"}],
)
_BARRIER = ReadQuery(min_index=0, consistency="linearizable")


@blueprint.get("/members", operation_id="list_members", responses={200: answers.Members})
@checked
def members(query: ReadQuery) -> Response:
    """The controllers that vote, according to the state of this one."""
    return answer(_view(read(query)))


@blueprint.post("/members", operation_id="add_member", responses={201: answers.MemberAdded})
@checked
def add(body: MemberBody, query: WriteQuery, header: WriteHeaders) -> Response:
    """Let one more controller vote, which is started with the environment in `join`.

    That may be done before or afterwards; the second controller of a cluster has to be up.
    """
    name, address = body.node_id, body.raft_address
    _check_address(name, address)
    state = _latest()
    _check_reach(state, address)
    there = state.members.get(name)
    if there is not None and there.raft_address != address:
        raise OrchestryError(
            Code.CONFLICT,
            f"Controller {name} is a member at {there.raft_address}: remove it first")
    after = {**addresses(state), name: address}
    join = {
        "CONTROLLER_NODE_ID": name,
        "CLUSTER_PEERS": ",".join(f"{n}={a}" for n, a in sorted(after.items())),
        "CLUSTER_JOIN": "true",
    }
    if there is None:
        if len(after) == 2 and not _listens(address):
            raise OrchestryError(
                Code.CONFLICT, f"Nobody listens at {address}, and of two controllers both are "
                "needed. First start it, with an empty data folder, the same CLUSTER_SECRET, and "
                + " ".join(f"{setting}={value}" for setting, value in join.items()))
        writes.propose(_change(state, after))
    return answer({
        "message": f"Controller {name} is a member", "node_id": name, "raft_address": address,
        "members": sorted(after), "join": join,
    }, 201)


@blueprint.delete(
    "/members/<node_id>", operation_id="remove_member",
    responses={200: answers.MemberRemoved},
)
@checked
def remove(path: MemberPath, query: WriteQuery, header: WriteHeaders) -> Response:
    """Let a controller vote no more; the leader hands over first and sends the caller on."""
    name, controller = path.node_id, here().controller
    state = _latest()
    repeat = writes.repeated(state)
    if name not in state.members and repeat is None:
        why = f"Controller {name!r} is not a member; GET /cluster/members lists them"
        raise errors.Answered(
            errors.response(Code.NOT_FOUND, why, error="No such controller"))
    rest = {n: a for n, a in addresses(state).items() if n != name}
    if name in state.members and repeat is None:
        if not rest:
            raise OrchestryError(
                Code.CONFLICT, f"Controller {name} is the only member and cannot be removed")
        if name == controller.id:
            controller.transfer()
            elsewhere = writes.redirect()
            if elsewhere is not None:
                return elsewhere
            raise _nobody_took_over(name)
        writes.propose(_change(state, rest))
    return answer({
        "message": f"Controller {name} was removed", "node_id": name, "members": sorted(rest),
    })


@blueprint.post(
    "/transfer", operation_id="transfer_leadership",
    responses={200: answers.Transferred},
)
@checked
def transfer(body: TransferBody, query: WriteQuery, header: WriteHeaders) -> Response:
    """Hand leadership over to `to`, or to the controller that is best prepared."""
    controller, to = here().controller, body.to
    state = _latest()
    if to is not None and to not in addresses(state):
        raise errors.invalid([("to", f"{to!r} is not a member; GET /cluster/members lists them")])
    peer = controller.log.status().peers.get(to or "")
    if to not in (None, controller.id) and (peer is None or not peer.connected):
        raise OrchestryError(Code.CONFLICT, f"Controller {to} is not connected: start it first")
    begun_s = time.monotonic()
    leader: str | None = controller.id
    previous = None
    if to != controller.id and writes.repeated(state) is None:
        writes.propose(RecordEvent(
            "cluster", "", f"{controller.id} is asked to hand leadership over",
            (("to", to),) if to is not None else ()))
        leader, previous = controller.transfer(to), controller.id
    if leader is None or (to is not None and leader != to):
        raise OrchestryError(
            Code.CONFLICT, f"Nothing was handed over: {to or 'another controller'} does not "
            "answer or lags behind. See GET /cluster/status, and try again")
    return answer({
        "message": f"{leader} leads", "previous_leader": previous, "leader_id": leader,
        "transfer_time": round(time.monotonic() - begun_s, 3),
    })


def _nobody_took_over(name: str) -> OrchestryError:
    """Refused when no other could lead; to be tried again when none did so in time."""
    if any(peer.connected for peer in here().controller.log.status().peers.values()):
        return OrchestryError(
            Code.CLUSTER_NOT_READY,
            f"Controller {name} leads, and no other took over in time: try again")
    return OrchestryError(
        Code.CONFLICT, f"Controller {name} leads, and no other can take over: start one")


def _latest() -> ClusterState:
    """The state after all that was acknowledged before."""
    state = read(_BARRIER)
    if not state.members_index:
        raise OrchestryError(Code.CLUSTER_NOT_READY, "The first leader has not named the members")
    return state


def _change(state: ClusterState, after: Mapping[str, str]) -> ChangeMembers:
    return ChangeMembers(state.members_index, tuple(sorted(after.items())))


def _check_address(name: str, address: str) -> None:
    try:
        readers.peers(f"{name}={address}")
    except ValueError as error:
        raise errors.invalid([("raft_address", str(error))]) from None
    if not here().controller.settings.secret and not _loopback(address):
        why = ("is no loopback address, and this cluster has no shared secret: set "
               "CLUSTER_SECRET on every controller first")
        raise errors.invalid([("raft_address", why)])


def _check_reach(state: ClusterState, address: str) -> None:
    """A controller that the others know by a loopback address is reached from no other machine."""
    there = {name for name, known in addresses(state).items() if _loopback(known)}
    if there and not _loopback(address):
        why = (f"is on another machine, but {', '.join(sorted(there))} has a loopback address: "
               "start it with its real one in CLUSTER_PEERS first")
        raise errors.invalid([("raft_address", why)])


def _loopback(address: str) -> bool:
    return readers.is_loopback(address.rpartition(":")[0].strip("[]"))


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), LISTENS_S):
            return True
    except OSError:
        return False


def _view(state: ClusterState) -> dict[str, Any]:
    controller = here().controller
    leader, status = controller.log.leader_id(), controller.log.status()
    rows = []
    for name, address in addresses(state).items():
        info, member = state.controllers.get(name), state.members.get(name)
        peer = status.peers.get(name)
        rows.append({
            "node_id": name, "raft_address": address, "is_leader": name == leader,
            "api_url": info.api_url if info is not None else None,
            "version": info.version if info is not None else None,
            "level": info.level if info is not None else None,
            "connected": name == controller.id or (peer is not None and peer.connected),
            "refused": (peer.refused or None) if peer is not None else None,
            "joined_index": member.joined_index if member is not None else 0,
            "seen": bool(member is not None and member.incarnation),
        })
    return {
        "members": rows, "members_index": state.members_index,
        "majority": majority(len(rows)), "leader_id": leader, "level": state.level,
    }
