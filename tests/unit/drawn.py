"""Commands and logs as Hypothesis draws them: every kind of command has its line here."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cluster.state import commands as c
from cluster.state.exits import Attempts, Exit
from cluster.state.model import (
    App,
    Canary,
    Measured,
    Receipt,
    Replica,
    Secret,
    SecretVersion,
    Token,
)
from cluster.state.step import REPLICAS_MAX
from orchestry.access import ROLES

USES_SECRET = (
    '{"apiVersion":"v1","kind":"App","metadata":{"name":"a"},"spec":{"image":"x:1","ports":'
    '[{"containerPort":80}],"environment":[{"name":"A","source":"secret","key":"s1"}]}}')
"""A document whose app uses the secret `s1`."""
_APPS = st.sampled_from(["a", "b"])
_COUNTS = st.integers(0, 3)
_TIMES = st.integers(0, 10_000)
_TEXTS = st.text(max_size=5)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=4,
)
_ADDRESSES = st.lists(st.sampled_from(["a/", "b/", "c/"]), max_size=2).map(tuple)
_DETAILS = st.dictionaries(
    st.sampled_from(["app", "state", "stamp", "kind", "message", "by", "ingress.domain"]), _VALUES,
    max_size=4,
).map(lambda details: tuple(details.items()))
_REPLICAS = st.builds(
    Replica, slot=st.integers(1, 3), revision=_COUNTS, container_id=_TEXTS, container_name=_TEXTS,
    ip=st.just("10.0.0.2"), port=st.integers(1, 65_535), started_at_ms=_TIMES, restarts=_COUNTS,
    last_error=_TEXTS,
)
_TOKENS = st.builds(
    Token, id=st.sampled_from(["t1", "t2"]), name=_TEXTS,
    hash=st.sampled_from(["a" * 64, "b" * 64]), role=st.sampled_from(ROLES),
    apps=st.sampled_from(["", "a"]), expires_at_ms=_TIMES)
_SECRETS = st.builds(
    Secret, name=st.sampled_from(["s1", "s2"]), changed=_COUNTS, versions=st.lists(st.builds(
        SecretVersion, version=st.integers(1, 3), index=_COUNTS, at_ms=_TIMES, key_id=_TEXTS,
        fields=st.just(("value",)), sealed=_TEXTS), max_size=2).map(tuple))
_ORIGINS = st.builds(
    c.Origin, token=_TEXTS, name=_TEXTS, client=_TEXTS, method=st.just("PUT"), path=_TEXTS)
_UPDATES = st.builds(
    c.UpdateApp, app=_APPS, document=_TEXTS | st.sampled_from(["{}", "[]", USES_SECRET]),
    template_key=st.sampled_from(["", "k1", "k2"]), addresses=_ADDRESSES,
    min_replicas=st.integers(0, REPLICAS_MAX))
_RELEASES = st.sampled_from(["r1", "r2"])
COMMANDS: dict[type[Any], st.SearchStrategy[Any]] = {
    c.Noop: st.builds(c.Noop),
    c.RegisterApp: st.builds(
        c.RegisterApp, name=_APPS, document=_TEXTS | st.just(USES_SECRET), addresses=_ADDRESSES,
        min_replicas=st.integers(0, REPLICAS_MAX), template_key=st.sampled_from(["", "k1", "k2"]),
    ),
    c.UpdateApp: _UPDATES,
    c.ApplyRelease: st.builds(
        c.ApplyRelease, release=_RELEASES, expected=_COUNTS, chart=_TEXTS, chart_version=_TEXTS,
        values=st.just("{}"), note=_TEXTS, keep_data=st.booleans(),
        apps=st.lists(_UPDATES, max_size=2, unique_by=lambda one: one.app).map(tuple)),
    c.UninstallRelease: st.builds(
        c.UninstallRelease, release=_RELEASES, force=st.booleans(), keep_data=st.booleans(),
        expected=_COUNTS),
    c.RollBackApp: st.builds(
        c.RollBackApp, app=_APPS, revision=st.none() | st.integers(1, 8)),
    c.RestartApp: st.builds(c.RestartApp, app=_APPS),
    c.SteerRollout: st.builds(
        c.SteerRollout, app=_APPS, verb=st.sampled_from(["pause", "resume", "promote"]),
        canary_step=st.integers(0, 3)),
    c.StepRollout: st.builds(
        c.StepRollout, app=_APPS, id=st.integers(1, 8), step=_COUNTS,
        new=st.lists(_COUNTS, max_size=3).map(tuple), available=_COUNTS, wanted=_COUNTS,
        old=st.lists(st.tuples(st.integers(1, 8), _COUNTS), max_size=3).map(tuple),
        notes=st.lists(_TEXTS, max_size=2).map(tuple),
        canary=st.none() | st.builds(
            Canary, step=_COUNTS, template=st.integers(0, 8), weight=st.integers(0, 100))),
    c.KeepReceipt: st.builds(
        c.KeepReceipt, app=_APPS, id=st.integers(1, 8), receipt=st.builds(
            Receipt, before=st.none() | st.builds(
                Measured, st.just(60.0), requests=_COUNTS, failed=_COUNTS))),
    c.EndRollout: st.builds(
        c.EndRollout, app=_APPS, id=st.integers(1, 8), reason=_TEXTS,
        outcome=st.sampled_from(["done", "failed", "overdue"]), roll_back=st.booleans(),
        lines=st.lists(_TEXTS, max_size=2).map(tuple), step=st.none() | _COUNTS),
    c.StartApp: st.builds(
        c.StartApp, app=_APPS, replicas=st.none() | st.integers(-5, REPLICAS_MAX + 5)
    ),
    c.StopApp: st.builds(c.StopApp, app=_APPS, grace_s=st.none() | _COUNTS),
    c.ScaleApp: st.builds(
        c.ScaleApp, app=_APPS, replicas=st.integers(-5, REPLICAS_MAX + 5), timeout_s=_COUNTS
    ),
    c.SetScaling: st.builds(c.SetScaling, app=_APPS, changes=_TEXTS | st.sampled_from(
        ['{"maxReplicas":3}', '{"minReplicas":9}', '{"mode":"manual"}', '{"mode":1}', "[1]"])),
    c.SetConfig: st.builds(c.SetConfig, changes=_DETAILS, domain=_TEXTS),
    c.AutoScale: st.builds(
        c.AutoScale, app=_APPS, revision=st.integers(1, 8), previous=_COUNTS,
        replicas=st.integers(-5, REPLICAS_MAX + 5), trigger=_TEXTS, reason=_TEXTS,
        inputs=st.lists(st.tuples(st.sampled_from(["cpu", "rps"]), st.none() | _TIMES.map(float)),
                        max_size=2, unique_by=lambda pair: pair[0]).map(tuple)),
    c.DeleteApp: st.builds(c.DeleteApp, app=_APPS, keep_data=st.booleans()),
    c.FinishDelete: st.builds(
        c.FinishDelete, app=_APPS, revision=st.integers(1, 8), volumes_removed=_COUNTS
    ),
    c.ReportApp: st.builds(
        c.ReportApp, app=_APPS, revision=st.integers(1, 8), problem=_TEXTS,
        replicas=st.lists(_REPLICAS, max_size=3).map(tuple),
        attempts=st.lists(st.builds(
            Attempts, revision=st.integers(1, 8), slot=_COUNTS, failures=_COUNTS,
            oom_kills=_COUNTS, recent_ms=st.lists(_TIMES, max_size=2).map(tuple),
            over=st.sampled_from(["", "finished", "failed"]), last=st.none() | st.builds(
                Exit, container=_TEXTS, reason=st.just("exited"), at_ms=_TIMES,
                exit_code=st.none() | _COUNTS)), max_size=3).map(tuple),
    ),
    c.RecordEvent: st.builds(c.RecordEvent, app=_APPS, message=_TEXTS, details=_DETAILS),
    c.AnnounceController: st.builds(c.AnnounceController, id=st.sampled_from(["n1", "n2"])),
    c.ChangeMembers: st.builds(
        c.ChangeMembers, previous=_COUNTS,
        members=st.dictionaries(
            st.sampled_from(["n1", "n2", "n3"]), st.sampled_from(["h:1", "h:2"]),
        ).map(lambda found: tuple(sorted(found.items()))), rescue=st.booleans()),
    c.BindMember: st.builds(
        c.BindMember, id=st.sampled_from(["n1", "n2"]), incarnation=_TEXTS),
    c.RestorePart: st.builds(
        c.RestorePart, restore_id=st.sampled_from(["x", "y"]), number=_COUNTS,
        total=st.just(2), cluster_id=_TEXTS, epoch=st.just(0), next_event_id=_COUNTS,
        apps=st.lists(st.builds(
            App, name=_APPS, document=_TEXTS, revision=_COUNTS, running=st.booleans(),
            replicas=_COUNTS, created_at_ms=_TIMES, updated_at_ms=_TIMES,
            addresses=_ADDRESSES), max_size=2,
        ).map(tuple), config=_DETAILS, tokens=st.lists(_TOKENS, max_size=2).map(tuple),
        secrets=st.lists(_SECRETS, max_size=2).map(tuple)),
    c.CreateToken: st.builds(c.CreateToken, token=_TOKENS, first=st.booleans()),
    c.RecordRefusals: st.builds(c.RecordRefusals, refusals=st.lists(st.builds(
        c.Refused, origin=_ORIGINS, app=_APPS, code=st.just("FORBIDDEN"), count=_COUNTS,
        at_ms=_TIMES), max_size=3).map(tuple)),
    c.SetSecret: st.builds(
        c.SetSecret, name=st.sampled_from(["s1", "s2"]), version=st.integers(1, 3), key_id=_TEXTS,
        fields=st.just(("value",)), sealed=_TEXTS),
    c.DeleteSecret: st.builds(
        c.DeleteSecret, name=st.sampled_from(["s1", "s2"]), force=st.booleans()),
    c.RequestRun: st.builds(
        c.RequestRun, app=_APPS, command=st.just(("true",)), timeout_s=_COUNTS),
    c.CancelRun: st.builds(c.CancelRun, app=_APPS, id=st.integers(1, 25)),
    c.PrepareRevision: st.builds(
        c.PrepareRevision, app=_APPS, revision=st.integers(1, 25), timeout_s=_COUNTS),
    c.StepRun: st.builds(
        c.StepRun, id=st.integers(1, 25), container_id=_TEXTS, container_name=_TEXTS,
        started_at_ms=_TIMES, timed_out=st.booleans()),
    c.EndRun: st.builds(
        c.EndRun, id=st.integers(1, 25), reason=_TEXTS, exit_code=st.none() | _COUNTS,
        outcome=st.sampled_from(["succeeded", "failed", "timed_out", "cancelled", "lost"]),
        lines=st.lists(_TEXTS, max_size=2).map(tuple)),
    c.FireJob: st.builds(
        c.FireJob, app=_APPS, revision=st.integers(1, 25), due_ms=_TIMES, timeout_s=_COUNTS,
        policy=st.sampled_from(["Allow", "Forbid", "Replace"]), retries=_COUNTS),
    c.TriggerJob: st.builds(c.TriggerJob, app=_APPS, timeout_s=_COUNTS, retries=_COUNTS),
    c.SuspendJob: st.builds(c.SuspendJob, app=_APPS, suspended=st.booleans()),
    c.ResealSecret: st.builds(
        c.ResealSecret, name=st.sampled_from(["s1", "s2"]), changed=st.integers(1, 25),
        key_id=_TEXTS,
        sealed=st.lists(st.tuples(st.integers(1, 3), _TEXTS), max_size=2).map(tuple)),
    c.NameVolumes: st.builds(
        c.NameVolumes, app=_APPS, revision=st.integers(1, 8), after=_COUNTS,
        names=st.lists(_TEXTS, max_size=2).map(tuple)),
    c.RemoveVolume: st.builds(c.RemoveVolume, name=st.sampled_from(["v1", "v2"]), app=_APPS),
    c.EndVolumeRemoval: st.builds(
        c.EndVolumeRemoval, name=st.sampled_from(["v1", "v2"]), removal=st.integers(1, 25),
        problem=_TEXTS),
    c.NotePulled: st.builds(c.NotePulled, image_id=_TEXTS, image=_TEXTS),
    c.BeginPull: st.builds(
        c.BeginPull, image=_TEXTS, here=st.lists(_TEXTS, max_size=2).map(tuple)),
    c.TellPulls: st.builds(c.TellPulls, progress=st.lists(
        st.tuples(_TEXTS, _COUNTS, _COUNTS), max_size=2).map(tuple)),
    c.ForgetPulled: st.builds(c.ForgetPulled, image_id=_TEXTS, index=st.integers(1, 25)),
    c.PinImage: st.builds(
        c.PinImage, app=_APPS, template=st.integers(1, 25), image=_TEXTS, ref=_TEXTS,
        image_id=_TEXTS),
    c.RevokeToken: st.builds(c.RevokeToken, id=st.sampled_from(["t1", "t2"])),
    c.BeginEpoch: st.builds(c.BeginEpoch, holder=st.sampled_from(["n1", "n2"]), ttl_ms=_TIMES),
    c.RenewLease: st.builds(c.RenewLease, ttl_ms=_TIMES),
}
STAMPS = st.builds(
    c.Stamp, at_ms=_TIMES, by=_TEXTS, request_id=st.sampled_from(["", "r1", "r2", "r3"]),
    epoch=st.none() | _COUNTS, origin=st.none() | _ORIGINS,
)
ENTRIES = st.tuples(st.one_of(list(COMMANDS.values())), STAMPS)
LOGS = st.lists(ENTRIES, max_size=25)
