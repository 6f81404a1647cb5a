"""Bad input as a table: what is sent, and the 4xx that must come of it.

Most cases are a valid spec with one wrong value. They are sent to an API whose configuration
allows the images of `IMAGES` and reserves `RESERVED`, and which has the app `shop`.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bad_registries import of_registries
from tests.bad_runs import of_runs

IMAGES = ["docker.io/library/*"]
RESERVED = ["admin.example.org", "*.intern.example.org"]
REGISTER = "/api/v1/apps/register"
SHOP = "/api/v1/apps/shop"
BASE: dict[str, Any] = {
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "probe"},
    "spec": {"image": "shop:1", "ports": [{"containerPort": 80}],
             "resources": {"cpu": "100m", "memory": "64Mi"}},
}


@dataclass(frozen=True)
class Case:
    """One request and its refusal; `at` is the beginning of a field under `details`."""

    what: str
    method: str
    path: str
    body: bytes | None
    status: int
    code: str
    at: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def _many(count: int) -> list[dict[str, str]]:
    return [{"name": f"A{number}", "value": ""} for number in range(count)]


def _port(**fields: Any) -> list[dict[str, Any]]:
    return [{"containerPort": 80, **fields}]


def _volume(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "data", "mountPath": "/data", **fields}]


def _entry(**fields: Any) -> list[dict[str, Any]]:
    return [{"cron": "0 8 * * *", "timezone": "UTC", "minReplicas": 1, "maxReplicas": 2,
             "durationSeconds": 60, **fields}]


# Path in the spec -> wrong values, each alone.
SPECS: dict[str, list[Any]] = {
    "apiVersion": ["v2", 1, None],
    "kind": ["Pod", None],
    "metadata.name": [
        "../x", "a/b", "A", "a" * 64, "", "-a", "a-", "\u0455hop", "a\x00", "a\r\nb", "a\n",
        "a;reboot", "$(id)", "`id`", "orchestry", "a.b", "a_b", " a", 5, None, ["a"], "a'b", "%2e",
    ],
    "metadata.labels": [
        {"orchestry.app": "x"}, {"orchestry/x": "y"}, {"com.docker.x": "y"}, {"a": "b\n"},
        {"": "x"}, {"a": 1}, {"app": "other"}, {f"l{n}": "x" for n in range(65)}, [], "a=b",
        {"a": "x" * 64},
    ],
    "metadata.annotations": [{"a": "x" * 300_000}, {"a": 1}, {"\n": "x"}],
    "spec.image": [
        "-v", "--help", "http://registry/x", "Shop:1", "img@sha256:short", "a" * 4096, "shop:1\n",
        "shop:", "", "shop :1", "evil.example/x:1", "team/app", "localhost:5000/x",
        "shop@md5:" + "0" * 64, "../x", "a//b", None, "shop:1;id", "$(id)", "shop:" + "t" * 129,
        "shop:-t", "/shop", ["shop"],
    ],
    "spec.ingress.hosts": [
        [host] for host in (
            "*", "*.a.com", "a.com;}server{", "10.0.0.1", "::1", "[::1]", "a.com.",
            "m\u00fcnchen.de", "A.com", "a..b", "-a.com", "a.com:80", "a b", "a\n", "a" * 254,
            "http://a.com", "a.com/x", "_a.com", '"', "a.com\x00", "", "$host",
            "admin.example.org", "db.intern.example.org", 1, "a" * 64 + ".com",
        )
    ] + [["a.com", "a.com"], "a.com", [f"h{n}.com" for n in range(65)]],
    "spec.ingress.path": [
        "/;", "/{", "/}", "/%0a", "//", "/../", "/..", "/" + "a" * 8192, "x", "", "/a b", "/$uri",
        "/a?b", "/#", "/.", "/a//b", "/\n", '/"', "/\\", "/'", "~ ^/", 1,
    ],
    "spec.ports": [
        *(_port(containerPort=port) for port in (0, 65_536, -1, "80", 80.5, True, None, 10**9)),
        [], [{}], [{"containerPort": 80}, {"containerPort": 80}], "80", [80],
        [{"containerPort": n + 1} for n in range(33)], _port(protocol="UDP"), _port(name="A"),
        _port(hostPort=80), _port(hostIP="0.0.0.0"),
    ],
    "spec.command": ["rm -rf /", [1], ["x"] * 1001, ["x" * 131_073], ["a\x00"], {}],
    "spec.args": ["-c id", [None], ["x" * 131_073]],
    "spec.workingDir": ["relative", "../x", "/a\n", "/a\x00", 1],
    "spec.environment": [
        _many(10_000), _many(1001), [{"name": "A", "value": "x" * 200_000}],
        *([{"name": name, "value": "x"}] for name in (
            "A=B", "", "1A", "A B", "A\x00", "\u00c4", 1)),
        *([{"name": "A", "value": value}] for value in ("a\x00b", 1, None, True, ["x"])),
        [{"name": "A"}], [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        [{"name": "A", "source": "file", "key": "/etc/passwd"}],
        [{"name": "A", "value": "1", "source": "sdk", "key": "app.name"}],
        [{"name": "A", "source": "secret"}], [{"name": "A", "source": "sdk", "key": "host.ip"}],
        [{"name": "A", "valueFrom": {}}], {"A": "1"},
    ],
    "spec.secretFiles": [[{"name": "../x", "key": "db"}], [{"name": "pw"}], "db"],
    "spec.resources.cpu": ["0", "1e-9", 0, "17", "100", -1, "1PB", "", "0.001", "16.001", "nan"],
    "spec.resources.memory": [
        "0", "1Pi", "65Gi", "3Mi", 128, "-1Mi", "1e9Gi", "NaN", "", "1 Gi", "1" * 70 + "Mi"],
    "spec.volumes": [
        *(_volume(mountPath=path) for path in (
            "/", "/proc", "/proc/1", "/sys", "/sys/fs", "/dev", "/dev/shm", "relative", "/a/../b",
            "//a", "/a/", "/a:ro", "/a b", "", "/a\n", "/" + "a" * 1025, "/etc/hosts",
            "/usr", "/run/secrets", "/run/docker.sock", "/var/run/docker.sock")),
        *(_volume(name=name) for name in ("/etc", "../x", "A", "", "a/b", "a" * 64, 1)),
        *(_volume(**{key: value}) for key, value in (
            ("hostPath", "/etc"), ("source", "/var/run/docker.sock"), ("type", "bind"),
            ("propagation", "shared"), ("driver", "local"), ("readOnly", "yes"))),
        _volume() * 2, [{"name": "data"}], [*_volume(), {"name": "m", "mountPath": "/data/m/n"}],
        [*_volume(perReplica=True), {"name": "data-0", "mountPath": "/b"}],
    ],
    "spec.security": [
        *({"capAdd": [name]} for name in (
            "ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "CAP_SYS_ADMIN", "kill")),
        *({key: value} for key, value in (
            ("privileged", True), ("hostPID", True), ("hostNetwork", True), ("hostIPC", True),
            ("devices", ["/dev/sda"]), ("securityOpt", ["seccomp=unconfined"]),
            ("usernsMode", "host"), ("sysctls", {"kernel.msgmax": "1"}), ("runtime", "other"),
            ("cgroupParent", "/"), ("user", "root;id"), ("user", "-1"), ("user", 0),
            ("readOnlyRootFilesystem", "no"), ("allowPrivilegeEscalation", True))),
    ],
    **{f"spec.{key}": [True] for key in (
        "privileged", "hostNetwork", "hostPID", "hostIPC", "devices", "runtime", "sysctls",
        "cgroupParent", "securityOpt", "networkMode", "extraHosts", "initContainers")},
    "spec.restartPolicy": ["always", "Sometimes", 1],
    "spec.type": ["udp", "", None],
    "scaling.minReplicas": [-1, 101, 10**9, True, "3", 1.5, None],
    "scaling.maxReplicas": [0, 101, -1, "5"],
    "scaling": [
        {"minReplicas": 5, "maxReplicas": 3}, {"minReplicas": 0, "maxReplicas": 0},
        {"scaleOutThresholdPct": 30, "scaleInThresholdPct": 30}, {"replicas": 3}, [],
    ],
    "scaling.targetRPSPerReplica": [0, -1, 10_001, "50", 2**63],
    "scaling.maxP95LatencyMs": [0, 30_001], "scaling.maxCPUPercent": [0, 101, True],
    "scaling.maxConnPerReplica": [0, 2**31], "scaling.windowSeconds": [0, 4, -1, 86_401],
    "scaling.cooldownSeconds": [-1, 1.5], "scaling.mode": ["magic"],
    "scaling.metrics": [[], ["gpu"], ["cpu", "cpu"], "cpu"],
    "scaling.schedule": [
        *(_entry(cron=text) for text in (
            "* * * *", "60 * * * *", "@daily", "*" * 10_000, "* * * * * *", "*/0 * * * *", "a\n")),
        _entry(timezone="Mars/Olympus"), _entry(timezone="../etc/passwd"),
        _entry(durationSeconds=0), _entry(maxReplicas=0), _entry() * 65,
    ],
    "healthCheck.path": [
        "http://169.254.169.254/latest", "/x\r\nHost: evil", "/a b", "", "x", "/#", "/\x00",
        "/" + "a" * 2049, "/\u00fc", 1],
    "healthCheck": [
        *({key: value} for key, value in (
            ("host", "169.254.169.254"), ("url", "http://localhost:8001"), ("scheme", "HTTPS"),
            ("port", 0), ("port", 70_000), ("port", "80"), ("periodSeconds", 0),
            ("timeoutSeconds", 0), ("failureThreshold", 0), ("failureThreshold", 101),
            ("successThreshold", 0), ("initialDelaySeconds", -1), ("method", "DELETE"),
            ("protocol", "gRPC"), ("exec", ["id"]), ("body", "x" * 70_000))),
        *({"headers": [{"name": name, "value": value}]} for name, value in (
            ("Host", "evil"), ("X\r\nY", "1"), ("X", "a\r\nb"), ("", "a"), ("X", "\u00fc"),
            ("Content-Length", "0"), ("Transfer-Encoding", "chunked"), ("X Y", "1"))),
        *({"expectedStatusCodes": codes} for codes in ([99], [600], [], ["200"], "200-399")),
    ],
    "termination.drainSeconds": [-1, 301, "30"],
    "deploy": [
        {"strategy": "yolo"}, {"maxSurge": 0, "maxUnavailable": 0}, {"strategy": "canary"},
        {"strategy": "canary", "steps": [{"weight": 50}, {"weight": 10, "pauseSeconds": 1}]},
        {"strategy": "canary", "steps": [{"weight": 101, "pauseSeconds": 1}]},
        *({"strategy": "canary", "steps": [{"weight": 50}], "gate": {key: 0}}
          for key in ("minRequests", "maxP95Percent", "unknown")),
    ],
    "replicas": [3], "unknown": [1], "status": [{}],
}

_LAUGHS = "a: &a [x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20))
YAML: dict[str, bytes] = {
    "billion laughs": _LAUGHS.encode(), "a Python object": b"!!python/object:os.system {}",
    "a tag": b"a: !!binary aGk=", "an anchor": b"a: &x 1\nb: *x\n", "a merge": b"a: {<<: *x}",
    "a key twice": b"kind: App\nkind: Pod\n", "a tab": b"a:\n\t- b\n",
    "two documents": b"a: 1\n---\nb: 2\n", "no UTF-8": b"\xff\xfe", "nothing": b"",
    "a comment": b"# x\n", "too deep": b"[" * 100, "too many values": b"- 1\n" * 100_001,
    "a number": b"42", "a list": b"- a", "a complex key": b"? [a]\n: b\n", "a NUL": b"a: \"\x00\"",
    "a bell": b"a: \x07", "an open quote": b'a: "', "a directive": b"%YAML 9.9\n---\na: 1\n",
}
JSON: dict[str, bytes] = {
    "10,000 levels": b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "10,000 lists": b"[" * 10_000,
    "a key twice": b'{"replicas": 1, "replicas": 2}', "trailing data": b'{"replicas": 1} {}',
    "NaN": b'{"replicas": NaN}', "infinity": b'{"replicas": 1e999}', "a list": b"[1]",
    "2^63": b'{"replicas": 9223372036854775808}', "2^64": b'{"replicas": 18446744073709551616}',
    "a lone surrogate": b'{"replicas": "\\ud800"}', "a surrogate as key": b'{"\\udc00": 1}',
    "text": b'"{}"', "null": b"null", "half": b"{", "not UTF-8": b"\xff\xfe{}",
    "a BOM": b"\xef\xbb\xbf{}",
    "gzip": gzip.compress(b'{"replicas": 1}'), "a gzip bomb": gzip.compress(b"0" * 10_000_000),
    "nothing": b"{}", "another key": b'{"replicas": 1, "x": 1}', "-1": b'{"replicas": -1}',
    "101": b'{"replicas": 101}', "text for a number": b'{"replicas": "3"}',
    "true": b'{"replicas": true}', "3.0": b'{"replicas": 3.0}', "no number": b'{"replicas": null}',
    "a wrong wait": b'{"replicas": 1, "wait": "yes"}',
    "timeout 0": b'{"replicas": 1, "timeout": 0}',
    "a comment": b'{"replicas": 1 /* x */}', "single quotes": b"{'replicas': 1}",
}
_BAD_KEYS = ("", "a b", "a" * 129, "\u00fc", "a\tb")
_BAD_MATCHES = ("5", 'W/"5"', '"x"', '"' + "9" * 19 + '"', '"-1"')
READS: dict[str, str] = {
    f"{SHOP}/logs?tail=-1": "tail", f"{SHOP}/logs?tail=1e12": "tail",
    f"{SHOP}/logs?tail=1000000": "tail",
    f"{SHOP}/logs?since=yesterday": "since", f"{SHOP}/logs?container=other-1": "container",
    f"{SHOP}/logs?level=(a%2B)%2B$": "level", f"{SHOP}/events?limit=0": "limit",
    f"{SHOP}/events?limit=1001": "limit", f"{SHOP}/events?type=.*": "type",
    f"{SHOP}/events?since=-1h": "since", f"{SHOP}/metrics?history=1001": "history",
    f"{SHOP}/metrics?interval=1s": "interval", "/api/v1/apps?status=.*": "status",
    "/api/v1/apps?format=xml": "format", "/api/v1/apps?min_index=-1": "min_index",
    "/api/v1/apps?consistency=strong": "consistency", "/api/v1/apps?x=1": "x",
    "/api/v1/apps/..%2f..%2fetc": "", "/api/v1/audit?limit=0": "limit",
    "/cluster/actions?after=-1": "after",
    **{f"/api/v1/apps/{name}": "app_name" for name in ("A", "a%0d%0ab", "a%00", "$(id)")},
}
MEMBERS: list[Any] = [
    {"node_id": "c9", "raft_address": address} for address in (
        "file:///etc/passwd", "http://x:1", "a b:1", ":1", "127.0.0.1:0", "127.0.0.1:70000",
        "127.0.0.1", "", "x" * 300 + ":1", "a\n:1", 1, None)
] + [{"node_id": name, "raft_address": "127.0.0.1:9"} for name in (
    "../x", "A", "", "a" * 64, "a b", 1, None)] + [{}, {"node_id": "c9"}]
TOKENS: list[Any] = [
    {"name": "a", "role": "root"}, {"name": "a\nb", "role": "viewer"},
    {"name": "", "role": "viewer"},
    {"name": "a", "role": "viewer", "apps": "A"}, {"name": "a", "role": "viewer", "apps": ""},
    {"name": "a", "role": "admin", "apps": "shop"}, {"name": "a"}, {"role": "viewer"},
    *({"name": "a", "role": "viewer", "expires_in": text} for text in (
        "-1d", "1000000d", "0s", "soon", 5)),
    {"name": "a" * 65, "role": "viewer"}, {"name": "a", "role": ["admin"]},
]
CONFIGS: list[Any] = [
    {}, {"scalng": {}}, {"scaling": 5}, {"scaling": {}}, {"scaling": {"default_cooldown": -1}},
    {"controller": {"port": 1}}, {"database": {"password": "x"}}, {"limits": {"images": "*"}},
    {"limits": {"images": ["a:1"]}}, {"limits": {"images": ["*/x"]}},
    {"limits": {"reserved_hosts": ["*"]}}, {"limits": {"trusted_proxies": ["here"]}},
    {"limits": {"per_hour": 1.5}}, {"ingress": {"domain": "a..b"}},
    {"limits": {"images": ["a"] * 257}},
    {"ingress": {"domain": "x;}"}}, {"__class__": {}}, {"limits": {"per_minute": 2**70}},
]
SCALINGS: list[Any] = [
    {"min_replicas": 9, "max_replicas": 3}, {"min_replicas": -1}, {"max_replicas": 0}, {"x": 1},
    {"mode": "magic"}, {"target_rps_per_replica": 0}, {"metrics": []}, {"schedule": [{}]},
    {"cooldown_seconds": -1}, {"scale_in_threshold_pct": 99},
]
RESTORES: list[Any] = [
    {}, {"restore_id": "r"}, {"restore_id": "r", "part": {}}, {"restore_id": "r", "part": "x"},
    {"restore_id": "", "part": {}}, {"restore_id": "r", "part": {"number": 0, "total": 1}},
    {"restore_id": "r", "part": {"version": 999, "number": 0, "total": 1, "apps": []}},
    {"restore_id": "r", "part": {"__class__": "x"}},
    {"restore_id": "r", "part": [], "adopt": "yes"},
]


def _with(path: str, value: Any) -> bytes:
    document = copy.deepcopy(BASE)
    holder: Any = document
    *parents, last = path.split(".")
    for key in parents:
        holder = holder.setdefault(key, {})
    holder[last] = value
    # As UTF-8: a lone surrogate or a NUL would be refused as JSON otherwise.
    return json.dumps(document).encode()


def _each(
    method: str, path: str, bodies: list[Any], code: str = "VALIDATION_ERROR"
) -> Iterator[Case]:
    for number, body in enumerate(bodies):
        yield Case(f"{method} {path} #{number}", method, path, json.dumps(body).encode(), 400, code)


def _of_headers() -> Iterator[Case]:
    one = b'{"replicas": 1, "wait": false}'
    for key in _BAD_KEYS[1:]:
        yield Case(f"Idempotency-Key {key[:9]!r}", "POST", f"{SHOP}/scale", one, 400,
                   "VALIDATION_ERROR", "Idempotency-Key", {"Idempotency-Key": key})
    for match in _BAD_MATCHES:
        yield Case(f"If-Match {match[:9]!r}", "POST", f"{SHOP}/scale", one, 400,
                   "VALIDATION_ERROR", "If-Match", {"If-Match": match})
    yield Case("If-Match of an old revision", "POST", f"{SHOP}/scale", one, 409, "CONFLICT",
               headers={"If-Match": '"1"'})
    yield Case("a key with another body", "POST", REGISTER, _with("metadata.name", "other"), 409,
               "CONFLICT", headers={"Idempotency-Key": "key-of-shop"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "x"):
        for path in (REGISTER, f"{SHOP}/scale", "/api/v1/config"):
            yield Case(f"{kind} to {path}", "PUT" if "config" in path else "POST", path, one, 415,
                       "UNSUPPORTED_MEDIA_TYPE", headers={"Content-Type": kind})


def _of_routes() -> Iterator[Case]:
    one = b'{"replicas": 1}'
    for method, path, body in (
        ("POST", "/api/v1/apps/nobody/start", b"{}"), ("POST", "/api/v1/apps/nobody/scale", one),
        ("DELETE", "/api/v1/apps/nobody", None), ("PUT", "/api/v1/apps/nobody/scaling",
                                                  b'{"min_replicas": 1}'),
    ):
        yield Case(f"{method} {path}", method, path, body, 404, "APP_NOT_FOUND")
    yield Case("shop again", "POST", REGISTER, _with("metadata.name", "shop"), 409,
               "APP_ALREADY_EXISTS")
    yield Case("the host of shop", "POST", REGISTER,
               _with("spec.ingress.hosts", ["shop.localhost"]), 409, "CONFLICT")
    for name in ("A", "a%20b", "$(id)", "a" * 64, "-a", "%00"):
        yield Case(f"scale {name[:9]}", "POST", f"/api/v1/apps/{name}/scale", one, 400,
                   "VALIDATION_ERROR", "app_name")
    for query in ("force=yes", "keep_data=1", "x=1", "force=true&force=false"):
        yield Case(f"DELETE ?{query}", "DELETE", f"{SHOP}?{query}", None, 400, "VALIDATION_ERROR")
    for path in (REGISTER, f"{SHOP}/scale"):
        yield Case(f"2 MiB to {path}", "POST", path, b'{"a": "' + b"x" * 2 * 1024**2 + b'"}', 413,
                   "PAYLOAD_TOO_LARGE")
    yield Case("a token of nobody", "DELETE", "/api/v1/tokens/nobody", None, 404, "NOT_FOUND")
    yield Case("a member that is none", "DELETE", "/cluster/members/nobody", None, 404, "NOT_FOUND")
    yield Case("PATCH", "PATCH", SHOP, one, 405, "METHOD_NOT_ALLOWED")
    yield Case("no such route", "POST", "/api/v1/nothing", one, 404, "NOT_FOUND")


def _of_deployments() -> Iterator[Case]:
    """Updates, and what is done with the deployments of an app that never ran."""
    probe = "/api/v1/apps/probe"
    for what, body in (
        ("the spec of another app", _with("metadata.name", "other")),
        ("a host that is reserved", _with("spec.ingress.hosts", ["admin.example.org"])),
        ("an image that is not allowed", _with("spec.image", "evil.example/x:1")),
        ("an unknown key", _with("spec.privileged", value=True)),
    ):
        yield Case(f"PUT {what}", "PUT", probe, body, 400, "INVALID_SPEC")
    yield Case("PUT ?dry_run=maybe", "PUT", f"{probe}?dry_run=maybe", _with("kind", "App"), 400,
               "VALIDATION_ERROR", "dry_run")
    for body in (b'{"revision": 0}', b'{"revision": "1"}', b'{"to": 1}', b'[]'):
        yield Case(f"rollback {body!r}", "POST", f"{SHOP}/rollback", body, 400, "VALIDATION_ERROR")
    yield Case("rollback to what never was", "POST", f"{SHOP}/rollback", b'{"revision": 999999}',
               409, "CONFLICT")
    yield Case("promote yes", "POST", f"{SHOP}/promote", b'{"all": "yes"}', 400, "VALIDATION_ERROR")
    for verb in ("rollback", "restart", "pause", "resume", "promote"):
        yield Case(f"{verb} of nothing", "POST", f"{SHOP}/{verb}", b"{}", 409, "CONFLICT")
        yield Case(f"{verb} of nobody", "POST", f"/api/v1/apps/nobody/{verb}", b"{}", 404,
                   "APP_NOT_FOUND")


def _of_releases() -> Iterator[Case]:
    """Charts that rendered what is no app, or another team's."""
    def body(*specs: Any, **more: Any) -> bytes:
        return json.dumps({"chart": "c", "chart_version": "1", "specs": specs, **more}).encode()

    web = "/api/v1/releases/web"
    bad = json.loads(_with("spec.image", "-v"))
    shop = json.loads(_with("metadata.name", "shop"))
    for sent in (b"{}", body(), body(1), body(BASE, values=[]), body(BASE, more=1),
                 body(*[BASE] * 65)):
        yield Case(f"PUT release {sent[:40]!r}", "PUT", web, sent, 400, "VALIDATION_ERROR")
    for what, sent in (("a bad spec", body(bad)), ("one twice", body(BASE, BASE))):
        yield Case(f"release of {what}", "PUT", web, sent, 400, "INVALID_SPEC", "specs[")
    for query in ("", "?dry_run=true"):
        yield Case(f"release of shop {query}", "PUT", f"{web}{query}", body(shop), 409, "CONFLICT")
    yield Case("upgrade of none", "PUT", f"{web}?only=upgrade", body(BASE), 404, "NOT_FOUND")
    yield Case("?only=x", "PUT", f"{web}?only=x", body(BASE), 400, "VALIDATION_ERROR", "only")
    yield Case("rollback of none", "POST", f"{web}/rollback", b"{}", 404, "NOT_FOUND")
    yield Case("uninstall of none", "DELETE", web, None, 404, "NOT_FOUND")
    for name in ("A", "a_b", "a" * 64, "%00"):
        yield Case(f"release {name[:9]}", "PUT", f"/api/v1/releases/{name}", body(BASE), 400,
                   "VALIDATION_ERROR", "release")


def cases() -> Iterator[Case]:
    """All of them."""
    for path, values in SPECS.items():
        at = path if path in ("replicas", "unknown", "status") else path.rpartition(".")[0] or path
        for number, value in enumerate(values):
            yield Case(f"{path} #{number}", "POST", REGISTER, _with(path, value), 400,
                       "INVALID_SPEC", at)
    for what, text in YAML.items():
        yield Case(f"YAML: {what}", "POST", REGISTER, text, 400, "INVALID_SPEC",
                   headers={"Content-Type": "application/yaml"})
    for what, text in JSON.items():
        yield Case(f"JSON: {what}", "POST", f"{SHOP}/scale", text, 400, "VALIDATION_ERROR")
    for path, at in READS.items():
        yield Case(f"GET {path}", "GET", path, None, *((400, "VALIDATION_ERROR", at) if at
                                                       else (404, "NOT_FOUND")))
    yield from _each("POST", "/cluster/members", MEMBERS)
    yield from _each("POST", "/api/v1/tokens", TOKENS)
    yield from _each("PUT", "/api/v1/config", CONFIGS)
    yield from _each("PUT", f"{SHOP}/scaling", SCALINGS)
    yield from _each("POST", "/cluster/restore", RESTORES)
    for more in (_of_headers, _of_routes, _of_deployments, _of_releases):
        yield from more()
    yield from (Case(one[0], "POST", *one[1:]) for one in of_runs(SHOP))
    yield from (Case(*one) for one in of_registries())
