"""What crosses the wire to Docker: requests, labels and summaries, all pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from cluster.engine.base import (
    FILES_FOLDER,
    Container,
    EngineEvent,
    EngineInfo,
    RunRequest,
    container_name,
)

LABEL_CLUSTER = "orchestry.cluster"
LABEL_APP = "orchestry.app"
LABEL_REVISION = "orchestry.revision"
LABEL_SLOT = "orchestry.slot"
LABEL_EPOCH = "orchestry.epoch"
# Of a container that runs once.
LABEL_RUN = "orchestry.run"
# Not a label of replicas: the engine must not take an ingress for one of them.
LABEL_INGRESS = "orchestry.ingress"
# Of a network that its owner made for a cluster, whose id nobody knows before it starts.
LABEL_SHARED = "orchestry.shared"

# Of a container with files in memory, which are lost when it is started a second time.
LABEL_FILES = "orchestry.files"
# Of the helper that fills it: the id of that container.
LABEL_FILES_OF = "orchestry.files-of"

LOG_FILE_SIZE = "10m"
LOG_FILES = "3"

# Docker's default set without NET_RAW, which lets a container forge its neighbours' packets.
DEFAULT_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)

FILES_BYTES_MAX = 8 * 1024**2
"""Of memory: 64 files of 64 KiB, each a page more."""
_FILES_MOUNT: Mapping[str, Any] = {
    "Type": "volume", "Target": FILES_FOLDER,  # without a name it goes with its container
    "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": {
        "type": "tmpfs", "device": "tmpfs",
        "o": f"size={FILES_BYTES_MAX},nr_inodes=128,mode=0755,nosuid,nodev,noexec"}}},
}

EXIT_CODE_CUT_OFF = 255
"""Of a container that runs but cannot be used: a failure to every restart policy."""

DIGITS_MAX = 15
"""Of numbers in labels: all that we write have fewer, and JSON takes them."""
SECONDS_CACHED = 4096
_OPTIONAL = (LABEL_EPOCH, LABEL_RUN)
_NANOS = 1_000_000_000
_STAMP = re.compile(r"([\d-]{10}T[\d:]{8})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_EXITED = re.compile(r"Exited \((\d+)\)")
_RUNNING = {"running", "paused", "restarting"}
_EVENTS: Mapping[str, Literal["started", "died", "removed"]] = {
    "start": "started", "die": "died", "destroy": "removed",
}


@dataclass(frozen=True, slots=True)
class Details:
    """What only an inspection tells of a container."""

    started_at_ms: int
    finished_at_ms: int
    exit_code: int
    oom_killed: bool
    error: str
    again: bool = False
    """It runs, and not for the first time."""


def cluster_filter(cluster_id: str) -> dict[str, list[str]]:
    """The list filter for the objects of a cluster."""
    return {"label": [f"{LABEL_CLUSTER}={cluster_id}"]}


def identity_labels(request: RunRequest) -> dict[str, str]:
    """The labels by which the replica is known again; the epoch is not among them."""
    return {
        LABEL_CLUSTER: request.cluster_id,
        LABEL_APP: request.app,
        LABEL_REVISION: str(request.revision),
        LABEL_SLOT: str(request.slot),
        **({LABEL_RUN: str(request.run)} if request.run else {}),
    }


def capabilities(request: RunRequest) -> list[str]:
    """The capabilities that the container keeps."""
    dropped = {_capability(name) for name in request.cap_drop}
    kept = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
    return sorted(kept | {_capability(name) for name in request.cap_add})


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def container_config(request: RunRequest, network_id: str, address: str = "") -> dict[str, Any]:
    """The body of `POST /containers/create` (Docker Engine API).

    Without `address` Docker chooses one, at the start, when the environment is fixed already.
    No init process: with one, a command that does not exist is no error at start but an
    exit code later.
    """
    host: dict[str, Any] = {
        "NetworkMode": network_id,
        "RestartPolicy": {"Name": "no"},
        "NanoCpus": request.cpu_millicores * 1_000_000,
        "Memory": request.memory_bytes,
        "MemorySwap": request.memory_bytes,
        "PidsLimit": request.pids,
        "SecurityOpt": ["no-new-privileges:true"],
        "CapDrop": ["ALL"],
        "CapAdd": capabilities(request),
        "ReadonlyRootfs": request.read_only_root_filesystem,
        "LogConfig": {
            "Type": "json-file", "Config": {"max-size": LOG_FILE_SIZE, "max-file": LOG_FILES},
        },
        "Mounts": [
            {"Type": "volume", "Source": m.volume, "Target": m.path, "ReadOnly": m.read_only}
            for m in request.mounts
        ] + [dict(_FILES_MOUNT)] * bool(request.files),
    }
    config: dict[str, Any] = {
        "Image": request.pinned or request.image,
        "Env": [f"{name}={value}" for name, value in request.environment]
        + [f"{name}={address}" for name in request.address_in],
        "Labels": {
            **dict(request.labels), **identity_labels(request), LABEL_EPOCH: str(request.epoch),
            **({LABEL_FILES: str(len(request.files))} if request.files else {}),
        },
        "StopTimeout": request.stop_grace_s,
        "HostConfig": host,
    }
    if address:
        config["NetworkingConfig"] = {"EndpointsConfig": {
            network_id: {"IPAMConfig": {"IPv4Address": address}}}}
    if request.command:
        config["Entrypoint"] = list(request.command)
    if request.args:
        config["Cmd"] = list(request.args)
    if request.working_dir:
        config["WorkingDir"] = request.working_dir
    if request.user:
        config["User"] = request.user
    return config


def container(
    container_id: str,
    name: str,
    *,
    labels: Mapping[str, str],
    status: str,
    networks: Mapping[str, Mapping[str, Any]] | None,
    network_id: str,
    details: Details | None,
    unproven: bool = False,
) -> Container | None:
    """One container as observed; None when the labels are not of our making.

    One that runs without an address, cut off from every network, is as good as dead: it is
    told as exited, so that it is replaced. So is one that lost its files, or of which nobody
    can tell that it had them (`unproven`).
    """
    slot, revision, epoch, run = (
        number(labels.get(label, "0" if label in _OPTIONAL else ""))
        for label in (LABEL_SLOT, LABEL_REVISION, LABEL_EPOCH, LABEL_RUN))
    app = labels.get(LABEL_APP)
    if app is None or slot is None or revision is None or epoch is None or run is None:
        return None
    known = details or Details(0, 0, 0, oom_killed=False, error="")
    ip = _address(networks or {}, network_id)
    phase: Literal["created", "running", "exited"] = "exited"
    lost = LABEL_FILES in labels and (unproven or known.again)
    if status == "created":
        phase = "created"
    elif status in _RUNNING and lost:
        known = replace(known, exit_code=EXIT_CODE_CUT_OFF, error=(
            "whether it has its files is not known" if unproven
            else "it was started again, without its files"))
    elif status in _RUNNING and ip:
        phase = "running"
    elif status in _RUNNING:
        known = replace(known, exit_code=EXIT_CODE_CUT_OFF, error="it has no network address")
    return Container(
        id=container_id, name=name.removeprefix("/"), app=app, slot=slot, revision=revision,
        epoch=epoch, phase=phase, ip=ip if phase == "running" else "",
        started_at_ms=known.started_at_ms, finished_at_ms=known.finished_at_ms,
        exit_code=known.exit_code, oom_killed=known.oom_killed, error=known.error, run=run,
        still_runs=phase == "exited" and status in _RUNNING,
    )


def number(text: str) -> int | None:
    """The number that a label of ours has; None for what we never write."""
    ours = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    return int(text) if ours else None


def _address(networks: Mapping[str, Mapping[str, Any]], network_id: str) -> str:
    """The address on our network; failing that, on one that somebody connected it to."""
    addresses = [
        (network_id not in (name, network.get("NetworkID")), network["IPAddress"])
        for name, network in networks.items() if network.get("IPAddress")
    ]
    return str(min(addresses)[1]) if addresses else ""


def one_per_identity(cluster_id: str, found: Sequence[Container]) -> tuple[Container, ...]:
    """The replicas among containers with our labels.

    `docker commit` copies labels and `docker rename` frees a name, so several can claim one
    identity: then the one with the right name has it, and the others are left alone.
    """
    named = {
        one.id: one.name == container_name(
            cluster_id, one.app, one.revision, one.slot, one.run)
        for one in found
    }
    held = {(one.app, one.revision, one.slot, one.run) for one in found if named[one.id]}
    return tuple(
        one for one in found
        if named[one.id] or (one.app, one.revision, one.slot, one.run) not in held
    )


def engine_info(info: Mapping[str, Any]) -> EngineInfo:
    """The host's size."""
    return EngineInfo(
        version=info["ServerVersion"], cpus=info["NCPU"], memory_bytes=info["MemTotal"],
        containers_running=info["ContainersRunning"])


def details(state: Mapping[str, Any]) -> Details:
    """The `State` object of an inspection."""
    running = state["Status"] in _RUNNING
    return Details(
        started_at_ms=unix_ns(state["StartedAt"]) // 1_000_000,
        finished_at_ms=0 if running else unix_ns(state["FinishedAt"]) // 1_000_000,
        exit_code=0 if running else state["ExitCode"],
        oom_killed=state["OOMKilled"],
        error=state["Error"],
        again=running and unix_ns(state["FinishedAt"]) > 0,
    )


def listed_details(item: Mapping[str, Any]) -> Details | None:
    """What a list tells of a container that cannot be inspected; None for one that was not made.

    Whether it was for want of memory that it ended, a list does not tell.
    """
    if item["State"] == "created":
        return None
    exited = _EXITED.match(item.get("Status") or "")
    return Details(
        started_at_ms=int(item.get("Created") or 0) * 1000, finished_at_ms=0,
        exit_code=int(exited[1]) if exited else 0, oom_killed=False, error="")


def unix_ns(stamp: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 stamp; 0 for Docker's year 1 and for none."""
    if stamp.startswith("0001-"):
        return 0
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return 0
    second, fraction, zone = match.groups()
    try:
        return _unix_s(second + zone) * _NANOS + int((fraction or "")[:9].ljust(9, "0"))
    except ValueError:  # no day of any calendar
        return 0


@lru_cache(SECONDS_CACHED)
def _unix_s(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp())


def event(message: Mapping[str, Any]) -> EngineEvent | None:
    """The hint in one message of `/events`, if any."""
    kind = _EVENTS.get(message.get("Action", ""))
    return EngineEvent(kind, message["Actor"]["ID"]) if kind else None
