"""The cluster: status, leader, health; times are Unix seconds."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from typing import Any

from flask import Response

from api import answers_cluster as answers
from api import errors
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ReadQuery
from cluster.consensus.log import RaftStatus
from cluster.state.members import keys_in_use, lacks_key
from cluster.state.model import ClusterState
from orchestry import __version__
from orchestry.errors import Code

blueprint = Blueprint(
    "cluster", __name__, url_prefix="/cluster",
    abp_tags=[{"name": "Cluster"}],
)


@blueprint.get("/status", operation_id="cluster_status", responses={200: answers.ClusterStatus})
@checked
def status(query: ReadQuery) -> Response:
    """This node's view of the cluster; also without a leader."""
    state = read(query)
    controller = here().controller
    raft = controller.log.status()
    leader = controller.log.leader_id()
    keys = sorted(keys_in_use(state))
    return answer({
        "node_id": controller.id,
        "hostname": _hostname(state, controller.id),
        "state": raft.role,
        "term": state.leadership.epoch,
        "is_leader": leader == controller.id,
        "leader_id": leader,
        "cluster_size": len(addresses(state)),
        "nodes": [_node(state, raft, leader, node, keys) for node in addresses(state)],
        "lease": _lease(state, leader),
        "cluster_id": state.cluster_id or None,
        "raft_term": raft.term,
        "applied_index": raft.applied_index,
        "commit_index": raft.commit_index,
        "has_quorum": raft.has_quorum,
        "fault": raft.fault or None,
        "level": state.level,
    })


def addresses(state: ClusterState) -> Mapping[str, str]:
    """The Raft address of each member by id, from the log or, before it names any, the settings."""
    if not state.members_index:
        return here().controller.settings.raft_addresses
    return {name: state.members[name].raft_address for name in sorted(state.members)}


def _clustered(state: ClusterState) -> bool:
    return here().controller.settings.mode == "cluster" or len(state.members) > 1


def _node(
    state: ClusterState, raft: RaftStatus, leader: str | None, node: str, keys: Collection[str],
) -> Mapping[str, Any]:
    controller = here().controller
    info = state.controllers.get(node)
    row: dict[str, Any] = {
        "node_id": node,
        "hostname": _hostname(state, node),
        "state": "leader" if node == leader else "follower",
        "is_healthy": not raft.fault,
        "last_heartbeat": controller.clock.wall_ms() / 1000,
        "api_url": info.api_url if info is not None else None,
        "version": info.version if info is not None else None,
        "level": info.level if info is not None else None,
        "missing_keys": [] if info is None else [one for one in keys if lacks_key(info, one)],
    }
    if node == controller.id:
        return {**row, "state": raft.role}
    peer = raft.peers.get(node)
    heard_ms = peer.last_heard_at_ms if peer is not None else 0
    healthy = peer is not None and peer.connected and not peer.refused
    return {
        **row,
        "state": row["state"] if healthy else "unreachable",
        "is_healthy": healthy,
        "last_heartbeat": heard_ms / 1000 if heard_ms else None,
        "refused": (peer.refused or None) if peer is not None else None,
    }


def _hostname(state: ClusterState, node: str) -> str:
    controller = here().controller
    if node == controller.id:
        return socket.gethostname()
    info = state.controllers.get(node)
    return info.hostname if info is not None else (
        addresses(state).get(node, "").rpartition(":")[0]
    )


def _lease(state: ClusterState, leader: str | None) -> dict[str, Any] | None:
    """The lease of the current leader; None while it sits out that of the one before."""
    lead = state.leadership
    if leader is None or lead.holder != leader:
        return None
    info = state.controllers.get(leader)
    return {
        "leader_id": leader,
        "term": lead.epoch,
        "acquired_at": lead.acquired_at_ms / 1000,
        "expires_at": (lead.renewed_at_ms + lead.ttl_ms) / 1000,
        "renewed_at": lead.renewed_at_ms / 1000,
        "hostname": info.hostname if info is not None else _hostname(state, leader),
        "api_url": info.api_url if info is not None else None,
    }


@blueprint.get("/leader", operation_id="cluster_leader", responses={200: answers.Leader})
@checked
def leader(query: ReadQuery) -> Response:
    """Who leads and where, for writes; `lease_expires_at` is null until it may act, too."""
    state = read(query)
    name = here().controller.log.leader_id()
    info = state.controllers.get(name or "")
    if name is None or info is None:
        return errors.response(Code.NO_LEADER)
    lease = _lease(state, name)
    return answer({
        "leader_id": name, "hostname": info.hostname, "api_url": info.api_url,
        "term": state.leadership.epoch,
        "lease_expires_at": lease["expires_at"] if lease is not None else None,
    })


@blueprint.get(
    "/health", operation_id="cluster_health",
    responses={200: answers.ClusterHealth, 503: answers.ClusterHealth},
)
@checked
def health(query: ReadQuery) -> Response:
    """200 while this node is part of a quorum with a leader, else 503."""
    state = read(query)
    controller = here().controller
    raft = controller.log.status()
    leader = controller.log.leader_id()
    ready = raft.has_quorum and leader is not None and not raft.fault
    body = {
        "status": "healthy" if ready else "degraded",
        "clustering": "enabled" if _clustered(state) else "disabled",
        "node_id": controller.id,
        "state": raft.role,
        "is_leader": leader == controller.id,
        "leader_id": leader,
        "cluster_size": len(addresses(state)),
        "cluster_ready": ready,
        "timestamp": controller.clock.wall_ms() / 1000,
        "version": __version__,
        "fault": raft.fault or None,
    }
    return answer(body, 200 if ready else 503)


@blueprint.get(
    "/is-leader", operation_id="is_leader",
    responses={200: answers.IsLeader, 503: answers.IsLeader},
)
@checked
def is_leader(query: ReadQuery) -> Response:
    """200 on the leader, 503 elsewhere: for a load balancer that wants only the leader."""
    read(query)
    controller = here().controller
    leader = controller.log.leader_id()
    leads = leader == controller.id
    body = {"is_leader": leads, "node_id": controller.id, "leader_id": leader}
    return answer(body, 200 if leads else 503)
