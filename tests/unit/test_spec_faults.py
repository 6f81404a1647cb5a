"""App specs that are wrong: each fault names its field, and all are told at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestry.errors import Code
from orchestry.spec.parse import DEPTH_MAX, SpecError, parse_app
from orchestry.spec.shapes import PROBLEMS_MAX
from tests.unit.test_spec import minimal


def faults(document: object) -> list[str]:
    """The fields that are refused."""
    with pytest.raises(SpecError) as caught:
        parse_app(document)
    assert caught.value.code is Code.INVALID_SPEC
    for problem in caught.value.problems:
        assert problem.message
        assert str(problem).isprintable()
    return [problem.field for problem in caught.value.problems]


def changed(path: str, value: object) -> dict[str, Any]:
    """The smallest app with one value put at a dotted path."""
    document = copy.deepcopy(minimal())
    at: dict[str, Any] = document
    *parents, last = path.split(".")
    for parent in parents:
        at = at.setdefault(parent, {})
    at[last] = value
    return document


_PORT = {"containerPort": 80}
_BAD: list[tuple[str, list[Any], str]] = [
    ("apiVersion", ["v2", 1, None, "V1"], ""),
    ("kind", ["app", "Pod", None], ""),
    (
        "metadata.name",
        [
            "../x", "a/b", "A", "a" * 64, "", "-a", "a-", "\u0430pp", "a\x00", "a\r\nb",
            "a;reboot", "$(id)", "orchestry", "a\n", "a.b", "a_b", 5, None, True, ["a"],
        ],
        "",
    ),
    ("metadata.labels", [{"app": "other"}], ".app"),
    ("metadata.labels", [{"team": "a b"}, {"team": 1}, {"team": "x" * 64}, {"team": ""}], ".team"),
    ("metadata.labels", [{"orchestry.app": "x"}], '["orchestry.app"]'),
    ("metadata.labels", [{"com.docker.x": "x"}], '["com.docker.x"]'),
    ("metadata.labels", [[], "app", None], ""),
    ("metadata.annotations", [{"a": 1}, {"a": "\x00"}], ".a"),
    ("metadata.annotations", [{"a": "é" * 140_000}], ".a"),
    ("metadata.annotations", [{"a": "x" * 200_000, "b": "y" * 100_000}], ""),
    (
        "spec.image",
        [
            "-v", "http://nginx", "Nginx", "nginx@sha256:short", "a" * 4096, "nginx:a\n", "",
            "nginx:", "nginx:" + "t" * 129, "a//b", "/a", "a/", "nginx alpine", "a:b:c", "a" * 256,
            "Foo/bar", "nginx;id", "$(id)", 5, None, "ngіnx",
        ],
        "",
    ),
    ("spec.type", ["HTTP", "udp", 1], ""),
    ("spec.ports", [[], {}, "80", None, 80], ""),
    ("spec.ports", [[80]], "[0]"),
    (
        "spec.ports",
        [
            [{"containerPort": port}]
            for port in (0, 65_536, -1, "80", 80.5, 80.0, True, None, 10**400, float("1e300"))
        ] + [[{}]],
        "[0].containerPort",
    ),
    ("spec.ports", [[_PORT, {"containerPort": 81}, _PORT]], "[2].containerPort"),
    ("spec.ports", [[{**_PORT, "protocol": "http"}]], "[0].protocol"),
    ("spec.ports", [[{**_PORT, "name": "A b"}]], "[0].name"),
    ("spec.ports", [[{**_PORT, "hostPort": 80}]], "[0].hostPort"),
    ("spec.ports", [[{"containerPort": port} for port in range(1, 40)]], ""),
    ("spec.command", ["sh -c true", {}, None], ""),
    ("spec.args", [["ok", 5], ["ok", "\x00"], ["ok", "x" * (129 * 1024)], ["ok", "\ud800"]], "[1]"),
    ("spec.workingDir", ["srv", "", "/a\nb", 1], ""),
    ("spec.environment", [[{"name": f"A{i}", "value": ""} for i in range(1001)]], ""),
    (
        "spec.environment",
        [[{"name": name, "value": ""}] for name in ("", "A=B", "1A", "A B", "A\x00", "É", 5)],
        "[0].name",
    ),
    (
        "spec.environment",
        [[{"name": "A", "value": value}] for value in (5, True, None, "\x00", "x" * 200_000)]
        + [[{"name": "A"}], [{"name": "A", "value": "", "source": "sdk", "key": "app.name"}]],
        "[0].value",
    ),
    (
        "spec.environment",
        [
            [{"name": "A", "source": "sdk"}],
            [{"name": "A", "source": "sdk", "key": "instance.host"}],
            [{"name": "A", "source": "secret", "key": "../other"}],
            [{"name": "A", "value": "x", "key": "app.name"}],
        ],
        "[0].key",
    ),
    (
        "spec.environment",
        [[{"name": "A", "source": "sdk", "key": "app.name", "field": "x"}]], "[0].field",
    ),
    ("spec.environment", [[{"name": "A", "source": "vault", "key": "x"}]], "[0].source"),
    ("spec.environment", [[{"name": "A", "value": ""}, {"name": "A", "value": "2"}]], "[1].name"),
    ("spec.resources.cpu", ["0", "9m", "17", 0, 1e-9, -1, "1e3", True, None, "0.0001"], ""),
    (
        "spec.resources.memory",
        ["0", "63Mi", "65Gi", "1Pi", 134_217_728, "-1Mi", "128MB", None, "1" * 5000], "",
    ),
    ("spec.secretFiles", [[{"name": name, "key": "db"}] for name in (
        "", "a/b", "..", ".hidden", "a b", "x" * 129, 1)], "[0].name"),
    ("spec.secretFiles", [[{"name": "pw", "key": key}] for key in ("", "../db", 1)], "[0].key"),
    ("spec.secretFiles", [[{"name": "pw", "key": "a"}, {"name": "pw", "key": "b"}]], "[1].name"),
    ("spec.secretFiles", [[{"name": "pw", "key": "a", "path": "/etc/shadow"}]], "[0].path"),
    ("spec.secretFiles", [[{"name": "pw", "key": "a", "mode": "0777"}]], "[0].mode"),
    ("spec.secretFiles", [[{"name": f"f{n}", "key": "a"} for n in range(65)], {"pw": "db"}], ""),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d", "perReplica": True},
                       {"name": "d-1", "mountPath": "/e"}]], ""),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d/e"}, {"name": "e", "mountPath": "/d"}],
                      [{"name": "d", "mountPath": "/d"}, {"name": "e", "mountPath": "/d/e/f"}]],
     ""),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d"}, {"name": "d", "mountPath": "/e"}]],
     "[1].name"),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d"}, {"name": "e", "mountPath": "/d"}]],
     "[1].mountPath"),
    (
        "spec.volumes",
        [
            [{"name": "d", "mountPath": path}]
            for path in (
                "/", "/proc", "/proc/sys", "/sys", "/dev/shm", "relative", "/a/../b", "/a/..",
                "/a/./b", "//a", "/a//b", "/a/", "/a:ro", "/a,b", "/a\nb", "", 5, "/" + "a" * 2000,
                "/etc", "/usr", "/bin", "/lib64", "/run", "/run/secrets/x", "/var/run/secrets",
                "/etc/hosts", "/etc/resolv.conf", "/run/docker.sock", "/var/run/docker.sock",
            )
        ],
        "[0].mountPath",
    ),
    ("spec.volumes", [[{"name": n, "mountPath": "/d"}] for n in ("/etc", "..", "A", "a:b", "")],
     "[0].name"),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d", "hostPath": "/etc"}]], "[0].hostPath"),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d", "propagation": "shared"}]],
     "[0].propagation"),
    ("spec.volumes", [[{"name": "d", "mountPath": "/d", "readOnly": "true"}]], "[0].readOnly"),
    (
        "spec.ingress.hosts",
        [
            [host] for host in (
                "*", "*.example.com", "a.com;}server{", "10.0.0.1", "1.2.3", "a.com.", "bücher.de",
                "A.com", "", "a" * 64 + ".com", ".".join(["a" * 50] * 6), "a_b.com", "a..b",
                "-a.com", "a.com\n", "a.com:80", "[::1]", 5,
            )
        ],
        "[0]",
    ),
    ("spec.ingress.hosts", [["a.com", "a.com"]], "[1]"),
    (
        "spec.ingress.path",
        [
            "/;", "/{", "/%0a", "//", "/../", "/a/..", "/./", "/" + "a" * 8192, "", "a", "/a b",
            "/a\n", "/é", "/$x", 5,
        ],
        "",
    ),
    ("spec.restartPolicy", ["always", "UnlessStopped"], ""),
    ("spec.security.user", ["", "root;id", "a:b:c", "-1", 0, "Ä", "root\n"], ""),
    ("spec.security.capAdd", [["ALL"], ["SYS_ADMIN"], ["NET_ADMIN"], ["CAP_CHOWN"], [1]], "[0]"),
    ("spec.security.capAdd", [["CHOWN", "CHOWN"]], "[1]"),
    ("scaling.mode", ["off", True], ""),
    ("scaling.minReplicas", [-1, 101, 1e9, True, "3", 3.0, None, 10**30], ""),
    ("scaling.maxReplicas", [0, 101, "3", False], ""),
    ("scaling.targetRPSPerReplica", [0, -1, 10_001, "50", True], ""),
    ("scaling.maxP95LatencyMs", [0, 30_001, "250"], ""),
    ("scaling.maxCPUPercent", [0, 101, -5, "70%"], ""),
    ("scaling.maxMemoryPercent", [0, 100.5], ""),
    ("scaling.maxConnPerReplica", [0, 1.5], ""),
    ("scaling.metrics", [[], "cpu"], ""),
    ("scaling.metrics", [["cpu", "disk"], ["cpu", "cpu"]], "[1]"),
    ("scaling.scaleOutThresholdPct", [0, 101, 30, 29], ""),
    ("scaling.windowSeconds", [0, 4, "60"], ""),
    ("scaling.cooldownSeconds", [-1, 1e9], ""),
    ("scaling.maxScaleOutStep", [-1], ""),
    ("healthCheck.protocol", ["http", "UDP"], ""),
    (
        "healthCheck.path",
        ["health", "", "http://169.254.169.254", "/a b", "/a\r\nHost: x", "/é", "/a#b", "/\x7f", 1],
        "",
    ),
    ("healthCheck.port", [0, 65_536, "80", None], ""),
    ("healthCheck.method", ["PUT", "get"], ""),
    ("healthCheck.headers", [{"X-A": "b"}, "X-A: b"], ""),
    (
        "healthCheck.headers",
        [
            [{"name": name, "value": "x"}]
            for name in ("Host", "hOST", "A:", "A\r\nB", "", "Content-Length")
        ],
        "[0].name",
    ),
    ("healthCheck.headers", [[{"name": "A", "value": v}] for v in ("a\r\nb", "é", " a", 1)],
     "[0].value"),
    ("healthCheck.expectedStatusCodes", [[], "200-399", 200], ""),
    ("healthCheck.expectedStatusCodes", [[99], [600], ["200"]], "[0]"),
    ("healthCheck.initialDelaySeconds", [-1, 1.5], ""),
    ("healthCheck.periodSeconds", [0, "10"], ""),
    ("healthCheck.timeoutSeconds", [0], ""),
    ("healthCheck.failureThreshold", [0], ""),
    ("healthCheck.successThreshold", [0], ""),
    ("termination.drainSeconds", [-1, 301, "30s"], ""),
    ("termination.terminationGracePeriodSeconds", [-1, 301], ""),
    ("deploy.strategy", ["bluegreen", "Rolling"], ""),
    ("deploy.maxSurge", [-1, "25%", 0], ""),
    ("deploy.progressDeadlineSeconds", [0], ""),
    ("deploy.autoRollback", ["yes", 1], ""),
    ("deploy.pre.command", [["a\0"]], "[0]"),
    ("deploy.pre", [{"command": ["x"], "timeoutSeconds": 0}], ".timeoutSeconds"),
]


@pytest.mark.parametrize(
    ("path", "value", "suffix"),
    [(path, value, suffix) for path, values, suffix in _BAD for value in values],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_value_is_named_alone(path: str, value: object, suffix: str) -> None:
    """One wrong value is one fault, at its field."""
    assert faults(changed(path, value)) == [path + suffix]


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "scaling.maxReplicas"),
        ({"scaling": {"minReplicas": 6}}, "scaling.maxReplicas"),
        ({"deploy": {"strategy": "recreate", "maxSurge": 1}}, "deploy.maxSurge"),
        ({"deploy": {"steps": [{"weight": 1, "pauseSeconds": 1}]}}, "deploy.steps"),
        ({"deploy": {"strategy": "canary"}}, "deploy.steps"),
        (
            {"deploy": {"strategy": "canary", "steps": [
                {"weight": 50, "pauseSeconds": 1}, {"weight": 50, "pauseSeconds": 1},
            ]}},
            "deploy.steps",
        ),
        ({"deploy": {"gate": {}}}, "deploy.gate"),
        ({"deploy": {"strategy": "canary", "gate": {}, "steps": [{"weight": 100}]}},
         "deploy.gate"),
    ],
)
def test_rules_over_several_fields(section: dict[str, Any], field: str) -> None:
    """Fields that do not go together are one fault."""
    assert faults(minimal(**section)) == [field]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cron", "* * * *"), ("cron", "60 * * * *"), ("cron", "* 24 * * *"), ("cron", "* * 0 * *"),
        ("cron", "* * * 13 *"), ("cron", "* * * * 8"), ("cron", "*/0 * * * *"),
        ("cron", "5-1 * * * *"), ("cron", "@daily"), ("cron", "* * * * *\n"), ("cron", "a * * * *"),
        ("cron", ", * * * *"), ("cron", "1-2-3 * * * *"), ("timezone", "../etc/passwd"),
        ("timezone", ""), ("timezone", "/etc"), ("minReplicas", -1), ("maxReplicas", 0),
        ("durationSeconds", 0),
    ],
)
def test_schedules_are_checked(key: str, value: object) -> None:
    """A schedule that could never be followed is refused when it is written."""
    entry = {
        "cron": "* * * * *", "timezone": "UTC", "minReplicas": 0, "maxReplicas": 3,
        "durationSeconds": 60, key: value,
    }
    assert faults(minimal(scaling={"schedule": [entry]})) == [f"scaling.schedule[0].{key}"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_are_finite(value: float) -> None:
    """NaN and infinity are refused wherever they stand."""
    assert faults(changed("scaling.maxCPUPercent", value)) == ["scaling.maxCPUPercent"]
    assert faults(changed("spec.resources.cpu", value)) == ["spec.resources.cpu"]


@pytest.mark.parametrize(
    "key",
    ["privileged", "pid", "ipc", "devices", "securityOpt", "sysctls", "runtime", "hostNetwork"],
)
def test_privileges_are_unknown_keys(key: str) -> None:
    """There is no way to ask for the host."""
    assert faults(changed(f"spec.{key}", True)) == [f"spec.{key}"]
    assert faults(changed(f"spec.security.{key}", True)) == [f"spec.security.{key}"]


def _message(document: object) -> str:
    with pytest.raises(SpecError) as caught:
        parse_app(document)
    (problem,) = caught.value.problems
    return problem.message


def test_unknown_keys_come_with_a_hint() -> None:
    """A typo is answered with the likely key, a misplaced key with its place."""
    assert "did you mean minReplicas" in _message(changed("scaling.minreplica", 2))
    assert "belongs at scaling" in _message(changed("spec.scaling", {}))
    assert "belongs at spec.image" in _message(changed("image", "nginx"))
    assert "belongs at scaling.minReplicas" in _message(changed("spec.replicas", 3))
    assert "known here: drainSeconds" in _message(changed("termination.xyz", 1))


def test_all_faults_are_told_at_once() -> None:
    """One answer holds the faults of every section."""
    document = {
        "apiVersion": "v2", "kidn": "App",
        "metadata": {"name": "A", "labels": {"app": "b"}},
        "spec": {
            "ports": [{"containerPort": "80"}, {"containerPort": 80}, {"containerPort": 80}],
            "env": [], "environment": [], "resources": {"cpu": "0", "memory": "1Mi"},
        },
        "scaling": {"minReplicas": 9, "maxReplicas": 2, "scaleInThresholdPct": 90},
        "healthCheck": {"port": 0}, "termination": 5, "deploy": {"strategy": "x"},
    }
    assert sorted(faults(document)) == sorted([
        "apiVersion", "kidn", "kind", "metadata.name", "spec.image",
        "spec.ports[0].containerPort", "spec.ports[2].containerPort", "spec.env",
        "spec.resources.cpu", "spec.resources.memory", "scaling.maxReplicas",
        "scaling.scaleOutThresholdPct", "healthCheck.port", "termination", "deploy.strategy",
    ])


@pytest.mark.parametrize("document", [None, [], "app", 1, True, 1.5, {}])
def test_a_document_is_a_mapping(document: object) -> None:
    """Anything else is refused, an empty mapping for what is missing."""
    expected = ["apiVersion", "kind", "metadata", "spec"] if document == {} else [""]
    assert faults(document) == expected


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_size_is_bounded() -> None:
    """Depth, number of values, text and reported faults have limits."""
    assert faults(_nested(10_000)) == ["[0]" * DEPTH_MAX]
    assert faults(minimal(x=[0] * 60_000)) == [""]
    assert faults(minimal(x="a" * 2_000_000)) == [""]
    assert len(faults(minimal(**{f"k{i}": 1 for i in range(2000)}))) == PROBLEMS_MAX
    loop: dict[str, Any] = {}
    loop["a"] = loop
    assert len(faults(loop)) == 1


@pytest.mark.parametrize("value", [{1: "a"}, {"\ud800": 1}, b"x", {"a", "b"}, (1,), object()])
def test_only_plain_values_are_read(value: object) -> None:
    """Objects of Python that no JSON text holds are refused."""
    assert len(faults(minimal(x=value))) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
_PATHS = st.sampled_from(sorted({path for path, _, _ in _BAD} | {
    "metadata", "spec", "spec.resources", "spec.ingress", "spec.security", "scaling",
    "scaling.schedule", "healthCheck", "deploy", "deploy.steps", "termination",
}))


@given(st.dictionaries(_PATHS, _JSON, max_size=4))
def test_any_value_anywhere_is_read_or_refused(values: dict[str, object]) -> None:
    """Arbitrary JSON at any place raises nothing but SpecError."""
    document: dict[str, Any] = minimal()
    for path, value in sorted(values.items(), reverse=True):
        *parents, last = path.split(".")
        at = document
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    try:
        assert parse_app(document).name
    except SpecError as error:
        assert all(problem.message for problem in error.problems)  # noqa: PT017 - either way is right


@given(_JSON)
def test_any_document_is_read_or_refused(document: object) -> None:
    """Arbitrary JSON as the whole document raises nothing but SpecError."""
    assert faults(document)
