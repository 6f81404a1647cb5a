"""Levels of specs and policies: from when on a key, or a word for one, may be written into the log.

A key is named by its path, `spec.ports[].containerPort`, and a word by the key that takes it,
`kind=App`; the keys of a policy are those of `scaling`, whoever changes them.

The rules for developers: docs/adr/0026-levels.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from cluster.state.levels import FIRST, Need

_IN_THE_FIRST_VERSION: Final = """
apiVersion apiVersion=v1 kind kind=App metadata metadata.name metadata.labels
metadata.annotations spec spec.type spec.type=http spec.type=tcp spec.image spec.ports
spec.ports[].containerPort spec.ports[].protocol spec.ports[].protocol=HTTP
spec.ports[].protocol=TCP spec.ports[].name spec.command spec.args spec.workingDir
spec.environment spec.environment[].name spec.environment[].value spec.environment[].source
spec.environment[].source=sdk spec.environment[].source=secret spec.environment[].key
spec.environment[].field spec.env spec.env[].name spec.env[].value spec.env[].source
spec.env[].source=sdk spec.env[].source=secret spec.env[].key spec.env[].field spec.resources
spec.resources.cpu spec.resources.memory spec.volumes spec.volumes[].name
spec.volumes[].mountPath spec.volumes[].perReplica spec.volumes[].readOnly spec.ingress
spec.ingress.hosts spec.ingress.path spec.restartPolicy spec.restartPolicy=Always
spec.restartPolicy=OnFailure spec.restartPolicy=Never spec.security spec.security.user
spec.security.readOnlyRootFilesystem spec.security.capAdd spec.security.capAdd[]=AUDIT_WRITE
spec.security.capAdd[]=CHOWN spec.security.capAdd[]=DAC_OVERRIDE spec.security.capAdd[]=FOWNER
spec.security.capAdd[]=FSETID spec.security.capAdd[]=KILL spec.security.capAdd[]=MKNOD
spec.security.capAdd[]=NET_BIND_SERVICE spec.security.capAdd[]=NET_RAW
spec.security.capAdd[]=SETFCAP spec.security.capAdd[]=SETGID spec.security.capAdd[]=SETPCAP
spec.security.capAdd[]=SETUID spec.security.capAdd[]=SYS_CHROOT spec.security.capAdd[]=IPC_LOCK
spec.security.capAdd[]=LEASE spec.security.capAdd[]=SYS_NICE spec.security.capDrop
spec.security.capDrop[]=ALL spec.security.capDrop[]=AUDIT_WRITE spec.security.capDrop[]=CHOWN
spec.security.capDrop[]=DAC_OVERRIDE spec.security.capDrop[]=FOWNER
spec.security.capDrop[]=FSETID spec.security.capDrop[]=KILL spec.security.capDrop[]=MKNOD
spec.security.capDrop[]=NET_BIND_SERVICE spec.security.capDrop[]=NET_RAW
spec.security.capDrop[]=SETFCAP spec.security.capDrop[]=SETGID spec.security.capDrop[]=SETPCAP
spec.security.capDrop[]=SETUID spec.security.capDrop[]=SYS_CHROOT
spec.security.capDrop[]=IPC_LOCK spec.security.capDrop[]=LEASE spec.security.capDrop[]=SYS_NICE
scaling scaling.mode scaling.mode=auto scaling.mode=manual scaling.minReplicas
scaling.maxReplicas scaling.targetRPSPerReplica scaling.maxP95LatencyMs scaling.maxCPUPercent
scaling.maxMemoryPercent scaling.maxConnPerReplica scaling.metrics scaling.metrics[]=cpu
scaling.metrics[]=memory scaling.metrics[]=rps scaling.metrics[]=latency
scaling.metrics[]=connections scaling.scaleOutThresholdPct scaling.scaleInThresholdPct
scaling.windowSeconds scaling.cooldownSeconds scaling.maxScaleOutStep scaling.maxScaleInStep
scaling.stabilizationWindowSeconds scaling.schedule scaling.schedule[].cron
scaling.schedule[].timezone scaling.schedule[].minReplicas scaling.schedule[].maxReplicas
scaling.schedule[].durationSeconds healthCheck healthCheck.protocol healthCheck.protocol=HTTP
healthCheck.protocol=TCP healthCheck.path healthCheck.port healthCheck.method
healthCheck.method=GET healthCheck.method=POST healthCheck.headers healthCheck.headers[].name
healthCheck.headers[].value healthCheck.body healthCheck.expectedStatusCodes
healthCheck.initialDelaySeconds healthCheck.periodSeconds healthCheck.timeoutSeconds
healthCheck.failureThreshold healthCheck.successThreshold termination termination.drainSeconds
termination.terminationGracePeriodSeconds deploy deploy.strategy deploy.strategy=rolling
deploy.strategy=recreate deploy.strategy=canary deploy.maxSurge deploy.maxUnavailable
deploy.steps deploy.steps[].weight deploy.steps[].pauseSeconds deploy.minHealthySeconds
deploy.progressDeadlineSeconds deploy.autoRollback deploy.gate deploy.gate.maxP95Percent
deploy.pre deploy.pre.command deploy.pre.timeoutSeconds kind=Job job job.schedule job.timezone
job.concurrencyPolicy job.concurrencyPolicy=Allow job.concurrencyPolicy=Forbid
job.concurrencyPolicy=Replace job.timeoutSeconds job.retries job.startingDeadlineSeconds job.suspend
deploy.gate.maxExtraErrorPercent deploy.gate.minRequests
"""

SPEC: Mapping[str, int] = {
    **dict.fromkeys(_IN_THE_FIRST_VERSION.split(), FIRST),
    "spec.imagePullPolicy": FIRST,
    "spec.imagePullPolicy=Always": FIRST,
    "spec.imagePullPolicy=IfNotPresent": FIRST,
    "spec.imagePullPolicy=Never": FIRST,
    "spec.secretFiles": FIRST,
    "spec.secretFiles[].name": FIRST,
    "spec.secretFiles[].key": FIRST,
    "spec.secretFiles[].field": FIRST,
}
"""Key, or word, of a spec -> from which level of the cluster on a spec may have it.

What a key may hold never becomes more: a wider range, or another form, is another key.
"""

DOCUMENTS: Mapping[tuple[str, str], str] = {
    ("RegisterApp", "document"): "",
    ("UpdateApp", "document"): "",
    ("SetScaling", "changes"): "scaling",
    ("App", "document"): "",
    ("App", "scaling"): "scaling",
    ("Revision", "document"): "",
    ("ReleaseApp", "document"): "",
}
"""(dataclass, field) that holds a spec or a part of one as text -> where that is in a spec."""


def need_of(text: str, at: str) -> Need:
    """What a stored spec, or the part of one at a path, needs; what is none needs nothing."""
    try:
        return _need(json.loads(text or "{}"), at)
    except (ValueError, RecursionError):
        return Need(FIRST)


def _need(value: object, at: str) -> Need:
    found = [Need(SPEC.get(at, FIRST), f"`{at}`")]
    if isinstance(value, dict):
        found += [_need(part, f"{at}.{key}" if at else key) for key, part in value.items()]
    elif isinstance(value, list):
        found += [_need(part, f"{at}[]") for part in value]
    elif isinstance(value, str):
        found.append(Need(SPEC.get(f"{at}={value}", FIRST), f"`{at}: {value}`"))
    return max(found, key=lambda need: need.level)
