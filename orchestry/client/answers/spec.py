"""Answers about spec.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Literal, NotRequired, TypedDict


class AppSpecMetadata(TypedDict):
    """A part of a spec."""

    name: str
    labels: NotRequired[dict[str, str]]
    annotations: NotRequired[dict[str, str]]


class AppSpecSpecPorts(TypedDict):
    """A part of a spec."""

    containerPort: int
    protocol: NotRequired[Literal["HTTP", "TCP"]]
    name: NotRequired[str]


class AppSpecSpecEnvironment(TypedDict):
    """A part of a spec."""

    name: str
    value: NotRequired[str]
    source: NotRequired[Literal["sdk", "secret"]]
    key: NotRequired[str]
    field: NotRequired[str]


class AppSpecSpecEnv(TypedDict):
    """A part of a spec."""

    name: str
    value: NotRequired[str]
    source: NotRequired[Literal["sdk", "secret"]]
    key: NotRequired[str]
    field: NotRequired[str]


class AppSpecSpecSecretFiles(TypedDict):
    """A part of a spec."""

    name: str
    key: str
    field: NotRequired[str]


class AppSpecSpecResources(TypedDict):
    """A part of a spec."""

    cpu: NotRequired[float | str]
    memory: NotRequired[str]


class AppSpecSpecVolumes(TypedDict):
    """A part of a spec."""

    name: str
    mountPath: str
    perReplica: NotRequired[bool]
    readOnly: NotRequired[bool]


class AppSpecSpecIngress(TypedDict):
    """A part of a spec."""

    hosts: NotRequired[list[str]]
    path: NotRequired[str]


class AppSpecSpecSecurity(TypedDict):
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


class AppSpecSpec(TypedDict):
    """A part of a spec."""

    type: NotRequired[Literal["http", "tcp"]]
    image: str
    imagePullPolicy: NotRequired[Literal["Always", "IfNotPresent", "Never"]]
    ports: list[AppSpecSpecPorts]
    command: NotRequired[list[str]]
    args: NotRequired[list[str]]
    workingDir: NotRequired[str]
    environment: NotRequired[list[AppSpecSpecEnvironment]]
    env: NotRequired[list[AppSpecSpecEnv]]
    secretFiles: NotRequired[list[AppSpecSpecSecretFiles]]
    resources: NotRequired[AppSpecSpecResources]
    volumes: NotRequired[list[AppSpecSpecVolumes]]
    ingress: NotRequired[AppSpecSpecIngress]
    restartPolicy: NotRequired[Literal["Always", "OnFailure", "Never"]]
    security: NotRequired[AppSpecSpecSecurity]


class AppSpecScalingSchedule(TypedDict):
    """A part of a spec."""

    cron: str
    timezone: str
    minReplicas: int
    maxReplicas: int
    durationSeconds: int


class AppSpecScaling(TypedDict):
    """A part of a spec."""

    mode: NotRequired[Literal["auto", "manual"]]
    minReplicas: NotRequired[int]
    maxReplicas: NotRequired[int]
    targetRPSPerReplica: NotRequired[float]
    maxP95LatencyMs: NotRequired[float]
    maxCPUPercent: NotRequired[float]
    maxMemoryPercent: NotRequired[float]
    maxConnPerReplica: NotRequired[int]
    metrics: NotRequired[list[Literal["cpu", "memory", "rps", "latency", "connections"]]]
    scaleOutThresholdPct: NotRequired[float]
    scaleInThresholdPct: NotRequired[float]
    windowSeconds: NotRequired[int]
    cooldownSeconds: NotRequired[int]
    maxScaleOutStep: NotRequired[int]
    maxScaleInStep: NotRequired[int]
    stabilizationWindowSeconds: NotRequired[int]
    schedule: NotRequired[list[AppSpecScalingSchedule]]


class AppSpecHealthCheckHeaders(TypedDict):
    """A part of a spec."""

    name: str
    value: str


class AppSpecHealthCheck(TypedDict):
    """A part of a spec."""

    protocol: NotRequired[Literal["HTTP", "TCP"]]
    path: NotRequired[str]
    port: NotRequired[int]
    method: NotRequired[Literal["GET", "POST"]]
    headers: NotRequired[list[AppSpecHealthCheckHeaders]]
    body: NotRequired[str]
    expectedStatusCodes: NotRequired[list[int]]
    initialDelaySeconds: NotRequired[int]
    periodSeconds: NotRequired[int]
    timeoutSeconds: NotRequired[int]
    failureThreshold: NotRequired[int]
    successThreshold: NotRequired[int]


class AppSpecTermination(TypedDict):
    """A part of a spec."""

    drainSeconds: NotRequired[int]
    terminationGracePeriodSeconds: NotRequired[int]


class AppSpecDeploySteps(TypedDict):
    """A part of a spec."""

    weight: int
    pauseSeconds: NotRequired[int]


class AppSpecDeployGate(TypedDict):
    """A part of a spec."""

    maxExtraErrorPercent: NotRequired[int]
    maxP95Percent: NotRequired[int]
    minRequests: NotRequired[int]


class AppSpecDeployPre(TypedDict):
    """A part of a spec."""

    command: list[str]
    timeoutSeconds: NotRequired[int]


class AppSpecDeploy(TypedDict):
    """A part of a spec."""

    strategy: NotRequired[Literal["rolling", "recreate", "canary"]]
    maxSurge: NotRequired[int]
    maxUnavailable: NotRequired[int]
    steps: NotRequired[list[AppSpecDeploySteps]]
    gate: NotRequired[AppSpecDeployGate]
    minHealthySeconds: NotRequired[int]
    progressDeadlineSeconds: NotRequired[int]
    autoRollback: NotRequired[bool]
    pre: NotRequired[AppSpecDeployPre]


class AppSpec(TypedDict):
    """An application as its owner wants it."""

    apiVersion: Literal["v1"]
    kind: Literal["App", "Job"]
    metadata: AppSpecMetadata
    spec: AppSpecSpec
    scaling: NotRequired[AppSpecScaling]
    healthCheck: NotRequired[AppSpecHealthCheck]
    termination: NotRequired[AppSpecTermination]
    deploy: NotRequired[AppSpecDeploy]
