"""Answers about jobs.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Literal, NotRequired, TypedDict


class JobSpecMetadata(TypedDict):
    """A part of a spec."""

    name: str
    labels: NotRequired[dict[str, str]]
    annotations: NotRequired[dict[str, str]]


class JobSpecSpecEnvironment(TypedDict):
    """A part of a spec."""

    name: str
    value: NotRequired[str]
    source: NotRequired[Literal["sdk", "secret"]]
    key: NotRequired[str]
    field: NotRequired[str]


class JobSpecSpecEnv(TypedDict):
    """A part of a spec."""

    name: str
    value: NotRequired[str]
    source: NotRequired[Literal["sdk", "secret"]]
    key: NotRequired[str]
    field: NotRequired[str]


class JobSpecSpecSecretFiles(TypedDict):
    """A part of a spec."""

    name: str
    key: str
    field: NotRequired[str]


class JobSpecSpecResources(TypedDict):
    """A part of a spec."""

    cpu: NotRequired[float | str]
    memory: NotRequired[str]


class JobSpecSpecVolumes(TypedDict):
    """A part of a spec."""

    name: str
    mountPath: str
    perReplica: NotRequired[bool]
    readOnly: NotRequired[bool]


class JobSpecSpecSecurity(TypedDict):
    """A part of a spec."""

    user: NotRequired[str]
    readOnlyRootFilesystem: NotRequired[bool]
    capAdd: NotRequired[
        list[
            Literal[
                "AUDIT_WRITE",
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "FSETID",
                "KILL",
                "MKNOD",
                "NET_BIND_SERVICE",
                "NET_RAW",
                "SETFCAP",
                "SETGID",
                "SETPCAP",
                "SETUID",
                "SYS_CHROOT",
                "IPC_LOCK",
                "LEASE",
                "SYS_NICE",
            ]
        ]
    ]
    capDrop: NotRequired[
        list[
            Literal[
                "ALL",
                "AUDIT_WRITE",
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "FSETID",
                "KILL",
                "MKNOD",
                "NET_BIND_SERVICE",
                "NET_RAW",
                "SETFCAP",
                "SETGID",
                "SETPCAP",
                "SETUID",
                "SYS_CHROOT",
                "IPC_LOCK",
                "LEASE",
                "SYS_NICE",
            ]
        ]
    ]


class JobSpecSpec(TypedDict):
    """A part of a spec."""

    image: str
    imagePullPolicy: NotRequired[Literal["Always", "IfNotPresent", "Never"]]
    command: NotRequired[list[str]]
    args: NotRequired[list[str]]
    workingDir: NotRequired[str]
    environment: NotRequired[list[JobSpecSpecEnvironment]]
    env: NotRequired[list[JobSpecSpecEnv]]
    secretFiles: NotRequired[list[JobSpecSpecSecretFiles]]
    resources: NotRequired[JobSpecSpecResources]
    volumes: NotRequired[list[JobSpecSpecVolumes]]
    security: NotRequired[JobSpecSpecSecurity]


class JobSpecJob(TypedDict):
    """A part of a spec."""

    schedule: NotRequired[str]
    timezone: NotRequired[str]
    concurrencyPolicy: NotRequired[Literal["Allow", "Forbid", "Replace"]]
    timeoutSeconds: NotRequired[int]
    retries: NotRequired[int]
    startingDeadlineSeconds: NotRequired[int]
    suspend: NotRequired[bool]


class JobSpecTermination(TypedDict):
    """A part of a spec."""

    drainSeconds: NotRequired[int]
    terminationGracePeriodSeconds: NotRequired[int]


class JobSpec(TypedDict):
    """What runs once or by a schedule, as its owner wants it."""

    apiVersion: Literal["v1"]
    kind: Literal["Job"]
    metadata: JobSpecMetadata
    spec: JobSpecSpec
    job: NotRequired[JobSpecJob]
    termination: NotRequired[JobSpecTermination]
