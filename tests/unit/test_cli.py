"""The command line against stub controllers: output, exit codes, failures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestry.cli import main
from orchestry.cli.output import age, printable
from orchestry.cli.waiting import bar, describe
from tests.unit.stub_answers import ANSWERS, APP, SPEC
from tests.unit.stub_cluster import Says, Seen, StubNode, error, free_url, nodes

Captured = pytest.CaptureFixture[str]

EVENTS_TABLE = """\
TIME                  TYPE     APP  MESSAGE
2026-01-01T00:00:02Z  scaling  web  Scaled
"""
CLUSTER_TABLE = """\
Leader: c2   Term: 7   Level: 1   Answered by: c1
CONTROLLER  STATE     HEALTH   HOST  VERSION  LEVEL
c1          follower  healthy  h1    1.1.0    2
c2          leader    down     h2    1.0.0    1
"""
_POLICY = """\
mode                          auto
min_replicas                  1
max_replicas                  {}
target_rps_per_replica        50
max_p95_latency_ms            250
max_cpu_percent               70
max_memory_percent            75
max_conn_per_replica          100
metrics                       cpu, rps
scale_out_threshold_pct       80
scale_in_threshold_pct        30
window_seconds                60
cooldown_seconds              180
max_scale_out_step            0
max_scale_in_step             1
stabilization_window_seconds  300
schedule                      -
"""
POLICY_TABLE = "KEY                           VALUE\n" + _POLICY.format(5) + """\
Last scaled 2026-01-01T00:00:02Z: 1 to 3 replicas. Scale out from 1 to 3 replicas: much load.
"""
POLICY_CHANGE = "KEY                           VALUE     BEFORE\n" + _POLICY.format("9         5")
SIMULATION = """\
TIME                  FROM  TO  REASON
2026-01-01T00:00:02Z  1     4   load
replicas under this policy
4 ┤ ██
  ┤ ██
  ┤ ██
  ┤ ██
  ┤▄██
0 ┤███
   2026-01-01T00:00:00Z 2026-01-01T00:00:04Z
replicas as recorded
1 ┤███
  ┤███
  ┤███
  ┤███
  ┤███
0 ┤███
   2026-01-01T00:00:00Z 2026-01-01T00:00:04Z
3 rounds: 1 changes, 0 of them in the other direction; 1 to 4 replicas, 3.0 on average
"""
METRICS_TABLE = """\
TIME                  CPU    MEMORY  RPS    P95    CONNECTIONS
now                   45.2%  62.1%   127.5  89 ms  234
2026-01-01T00:00:00Z  45.2%  62.1%   127.5  89 ms  234
"""
SYSTEM = """\
Host: CPU 35.2%, memory 1.5 of 4.0 GB, disk 45.2 of 100.0 GB
Ingress: 342.1 requests/s, errors 0.12%, mean 95 ms
APP  REPLICAS  CPU    MEMORY  RPS
web  3         15.2%  256 MB  127.5
"""
TOP = """\
APP  STATUS   REPLICAS  CPU    MEMORY  RPS    P95
web  running  2/3       15.2%  256 MB  127.5  89 ms
"""
TOP_APP = """\
web: 2/3 replicas, 127.5 requests/s, p95 89 ms, 234 connections
REPLICA  CPU    MEMORY
web-1    45.2%  -
"""
HEALTH_TABLE = """\
CONTAINER  HEALTH     CHECKED  FAILURES  TIME    LAST ERROR
web-1      healthy    -        0         4.5 ms  -
web-2      unhealthy  -        -         -       status 500
web: degraded, 1/2 healthy
"""
HEALTH_CHECK = """\
CONTAINER  HEALTH   CHECKED  FAILURES  TIME  LAST ERROR
web-2      healthy  -        1         2 ms  status 500
web: 1 checked, 0 passed, 1 failed
"""
COMMANDS: list[tuple[list[str], str]] = [
    (["up", "web"], "web: running, replicas: 3\n"),
    (["up", "web", "-r", "3", "--no-wait"], "web: running, replicas: 3\n"),
    (["down", "web"], "web: stopped\n"),
    (["scale", "web", "5"], "web: scaled from 3 to 5 replicas in 1.2 s\n"),
    (["scale", "web", "5", "--no-wait"], "web: scaling from 3 to 5 replicas\n"),
    (["delete", "web", "--force"],
     "web: deleted, containers: 3, volumes: 1 (orchestry-web-data)\n"),
    (["logs", "web"], "web-1 | first\nweb-2 | second\\x1b[2J\n"),
    (["health", "web"], HEALTH_TABLE),
    (["health", "web", "--check"], HEALTH_CHECK),
    (["cluster", "leader"], "c2  http://h2:8001\n"),
    (["cluster", "health"], "healthy, leader: c2, controllers: 3\n"),
    (["events", "web"], EVENTS_TABLE),
    (["events"], EVENTS_TABLE),
    (["cluster", "status"], CLUSTER_TABLE),
    (["autoscale", "web"], POLICY_TABLE),
    (["autoscale", "web", "--max", "9"], POLICY_CHANGE),
    (["autoscale", "web", "--explain"], "2026-01-01T00:00:02Z  Stay at 3 replicas: steady.\n"),
    (["autoscale", "web", "--since", "1h", "--max", "20"], SIMULATION),
    (["metrics", "web"], METRICS_TABLE),
    (["metrics"], SYSTEM),
    (["top", "--once"], TOP),
    (["top", "web", "--once"], TOP_APP),
]


@pytest.mark.parametrize(("arguments", "expected"), COMMANDS, ids=lambda value: str(value)[:30])
def test_commands_print_their_result(
    node: StubNode, capsys: Captured, arguments: list[str], expected: str
) -> None:
    """Results go to standard output, plain in a pipe, and nothing to standard error."""
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "\n".join(line.rstrip() for line in printed.out.split("\n")) == expected
    assert printed.err == ""


def test_top_as_json_joins_apps_and_measurements(node: StubNode, capsys: Captured) -> None:
    """One row for each app."""
    assert main(["top", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["apps"]
    assert (row["status"], row["metrics"]["rps"]) == ("running", 127.5)


JSON_COMMANDS = [arguments for arguments, _ in COMMANDS if arguments != ["top", "--once"]] + [
    ["status"], ["status", "web"], ["list"], ["list", "--status", "running"], ["spec", "web"]]


@pytest.mark.parametrize("arguments", JSON_COMMANDS, ids=" ".join)
@pytest.mark.parametrize("first", [True, False])
def test_json_prints_one_document(
    node: StubNode, capsys: Captured, arguments: list[str], first: bool
) -> None:
    """`--json` before or after the command prints the answer of the API and nothing else."""
    assert main(["--json", *arguments] if first else [*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) in list(ANSWERS.values())


def test_tables_of_apps(node: StubNode, capsys: Captured) -> None:
    """`list`, `status` and `status NAME` show names, states, replicas and containers."""
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "REPLICAS", "IMAGE", "AGE"]
    assert lines[1].split()[:4] == ["web", "running", "2/3", "nginx:alpine"]
    assert main(["status"]) == 0
    assert "1 in all: 1 running, 0 stopped, 0 error" in capsys.readouterr().out
    assert main(["status", "web"]) == 0
    assert "10.0.0.2:80" in capsys.readouterr().out


def test_spec_is_yaml(node: StubNode, capsys: Captured) -> None:
    """The spec comes as YAML with its keys in order."""
    assert main(["spec", "web", "--resolved"]) == 0
    assert capsys.readouterr().out.startswith("apiVersion: v1\nkind: App\nmetadata:\n")
    assert node.seen[0].path == "/api/v1/apps/web/spec?resolved=true"


FAILURES = [
    (error(400, "VALIDATION_ERROR", [{"field": "since", "message": "must be a time"}]), 2,
     "since: must be a time"),
    (error(500, "DOCKER_ERROR", "pull access denied"), 1, "pull access denied"),
    (error(503, "NO_LEADER"), 3, "Next: Try again"),
    (error(404, "APP_NOT_FOUND", "No app 'web'"), 4, "Next: List the applications"),
    (error(504, "TIMEOUT", "2 of 3 replicas are healthy"), 5, "orchestry status NAME --watch"),
    (error(401, "UNAUTHORIZED"), 6, "Next: Send a valid token"),
    (error(403, "FORBIDDEN"), 6, "Next: Ask an administrator"),
    (error(418, "FROM_THE_FUTURE"), 1, "Next: "),
]


@pytest.mark.parametrize(("says", "code", "text"), FAILURES)
def test_failures_have_their_exit_code_cause_and_next_step(
    capsys: Captured, says: Says, code: int, text: str
) -> None:
    """Every failure ends with its code, and says what to do, on standard error."""
    with nodes(lambda _: says) as (stub,):
        assert main(["up", "web", "--url", stub.url]) == code
        printed = capsys.readouterr()
        assert printed.out == ""
        assert text in printed.err
        assert "Next: " in printed.err
        assert main(["up", "web", "--url", stub.url, "--json"]) == code
    body = json.loads(capsys.readouterr().out)
    assert (body["code"], body["details"]) == (says.body["code"], says.body["details"])


def test_no_cluster(capsys: Captured) -> None:
    """A cluster that is not there ends with code 3 and the way to start one."""
    assert main(["-u", free_url(), "list"]) == 3
    assert "orchestry dev" in capsys.readouterr().err


def test_flags_beat_the_environment(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """`--url` after the command wins over one before it and over ORCHESTRY_URL."""
    monkeypatch.setenv("ORCHESTRY_TOKEN", "from-env")
    monkeypatch.setenv("ORCHESTRY_URL", f"{free_url()}, {node.url}")
    assert main(["list"]) == 0
    assert node.seen[-1].headers["Authorization"] == "Bearer from-env"
    monkeypatch.setenv("ORCHESTRY_URL", "nonsense")
    assert main(["-u", free_url(), "--token", "a", "list", "-u", node.url, "--token", "b"]) == 0
    assert node.seen[-1].headers["Authorization"] == "Bearer b"
    assert main(["list"]) == 2
    assert "'nonsense' is no controller address" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ["up"], ["scale", "web", "101"], ["scale", "web", "three"], ["list", "--status", "odd"],
    ["nonsense"], ["up", "web", "--nonsense"], ["dev", "--nodes", "0"],
    ["delete", "web"], ["register"], ["register", "-", "-"],
    ["up", ".."], ["cluster", "nonsense"], ["logs", "web", "-n", "-1"],
])
def test_wrong_usage(node: StubNode, capsys: Captured, arguments: list[str]) -> None:
    """Wrong usage ends with code 2 before anything is sent."""
    assert main(arguments) == 2
    assert capsys.readouterr().err
    assert node.seen == []


@pytest.mark.parametrize("arguments", [["scale", "web", "9"], ["up", "web", "-r", "9"]])
def test_a_number_that_will_not_stay_is_warned_about(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """On standard error, beside the result."""
    def says(seen: Seen) -> Says:
        return Says(200, {
            "app_name": "web", "previous_replicas": 3, "current_replicas": 9, "replicas": 9,
            "status": "running", "scaling_time": 1.0, "warning": "`scaling.maxReplicas` is 5"})

    with nodes(says) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        assert main([*arguments, "--no-wait"]) == 0
    found = capsys.readouterr()
    assert found.err == "Warning: `scaling.maxReplicas` is 5\n"
    assert found.out.startswith("web: ")


def test_delete_in_a_script_needs_force(node: StubNode, capsys: Captured) -> None:
    """Without a terminal to ask in, deletion is refused and says how to confirm it."""
    assert main(["delete", "web"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["delete", "web", "-f", "--keep-data"]) == 0
    assert node.seen[-1].path.endswith("?force=true&keep_data=true")


def test_register_files(node: StubNode, tmp_path: Path, capsys: Captured) -> None:
    """Each document of each file is sent; a bad one is named and does not stop the others."""
    document = json.dumps(SPEC)
    (tmp_path / "two.yaml").write_text(f"{document}\n---\n{document}\n")
    (tmp_path / "bad.yaml").write_text("a: 1\nb: [\n")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    files = [str(tmp_path / name) for name in
             ("bad.yaml", "list.yaml", "latin.yaml", "missing.yaml", "two.yaml")]
    assert main(["register", *files]) == 1
    printed = capsys.readouterr()
    assert printed.out == "web: registered\nweb: registered\n"
    assert "bad.yaml: Invalid application specification\n  line " in printed.err
    assert "missing.yaml: It cannot be read: No such file or directory" in printed.err
    assert "latin.yaml: It is not UTF-8 text" in printed.err
    assert [seen.document for seen in node.seen] == [SPEC, SPEC]
    assert main(["register", "--json", *files]) == 1
    answers = json.loads(capsys.readouterr().out)
    assert [part.get("code") for part in answers] == [
        "INVALID_SPEC", "FAILED", "FAILED", "FAILED", None, None]


def test_register_shows_every_fault_of_a_spec(tmp_path: Path, capsys: Captured) -> None:
    """The faults that the cluster names are listed with their fields."""
    faults = [{"field": "spec.image", "message": "is required"},
              {"field": "spec.ports", "message": "must have one at least"}]
    (tmp_path / "app.yaml").write_text("kind: App\n")
    with nodes(lambda _: error(400, "INVALID_SPEC", faults)) as (stub,):
        assert main(["register", str(tmp_path / "app.yaml"), "-u", stub.url]) == 1
    printed = capsys.readouterr().err
    assert "  spec.image: is required\n  spec.ports: must have one at least\n" in printed


def test_validate_needs_no_cluster(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Specs are checked offline: the name of a good one, all faults of a bad one."""
    monkeypatch.setenv("ORCHESTRY_URL", free_url())
    (tmp_path / "good.yaml").write_text(json.dumps(SPEC))
    (tmp_path / "bad.yaml").write_text(json.dumps({**SPEC, "spec": {"imagee": "x"}}))
    assert main(["validate", str(tmp_path / "good.yaml")]) == 0
    assert capsys.readouterr().out == "web: valid\n"
    assert main(["validate", str(tmp_path / "bad.yaml"), str(tmp_path / "good.yaml")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "web: valid\n"
    assert "spec.imagee" in printed.err
    assert "spec.ports" in printed.err


@pytest.mark.parametrize(("body", "code"), [
    ({"status": "degraded", "leader_id": None}, 3), ({"status": "degraded", "leader_id": "c1"}, 1),
])
def test_cluster_health_tells_scripts(
    capsys: Captured, body: dict[str, Any], code: int
) -> None:
    """No leader is code 3, other trouble code 1, and the answer is printed all the same."""
    with nodes(lambda _: Says(503, body)) as (stub,):
        assert main(["cluster", "health", "-u", stub.url]) == code
    assert capsys.readouterr().out.startswith("degraded, leader: ")


def test_waiting_shows_replicas_and_the_last_reason(capsys: Captured) -> None:
    """While a start goes on, each change is one line on standard error, none with --quiet."""
    def slow(seen: Seen) -> Says:
        if seen.method == "POST":
            return Says(200, ANSWERS[seen.method, seen.path], delay_s=1.5)
        return Says(200, {**APP, "problem": {
            "code": "IMAGE", "message": "image is being pulled"}})

    with nodes(slow) as (stub,):
        assert main(["up", "web", "-u", stub.url]) == 0
        printed = capsys.readouterr()
        assert printed.err == "web: 2/3 replicas healthy (image is being pulled)\n"
        assert printed.out == "web: running, replicas: 3\n"
        assert main(["up", "web", "-u", stub.url, "--quiet"]) == 0
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("status", "leaving", "columns", "line"), [
    (APP, False, 0, "web: 2/3 replicas healthy"),
    (APP, False, 6, "web: [####--] 2/3 replicas healthy"),
    ({**APP, "problem": "no\nmemory"}, False, 0, "web: 2/3 replicas healthy (no\\x0amemory)"),
    (APP, True, 6, "web: 1 container left"),
    ({}, True, 0, "web: 0 containers left"),
    ({}, False, 6, "web: ?/? replicas healthy"),
])
def test_progress_lines(
    status: dict[str, Any], leaving: bool, columns: int, line: str
) -> None:
    """A progress line holds what is known and cannot steer the terminal."""
    assert describe(status, "web", leaving=leaving, bar_columns=columns) == line


def test_bar_never_overflows() -> None:
    """More healthy replicas than wanted fill the bar, no more."""
    assert bar({"replicas": {"desired": 1, "healthy": 5}}, 4) == "[####] "


@pytest.mark.parametrize(("text", "expected"), [
    ("2026-01-01T00:00:00Z", "60s"), ("2025-12-31T23:00:00Z", "61m"),
    ("2025-12-31T00:00:00+00:00", "24h"), ("2025-12-01T00:00:00Z", "31d"),
    ("2026-01-02T00:00:00Z", "0s"), (None, "-"), ("soon", "-"), ("2026-01-01T00:00:00", "-"),
])
def test_ages(text: str | None, expected: str) -> None:
    """A time is shown as how long ago it was."""
    assert age(text, datetime(2026, 1, 1, 0, 1, tzinfo=UTC)) == expected


def test_printable_text() -> None:
    """Colours are dropped, other control characters shown."""
    assert printable("\x1b[31mred\x1b[0m\t\x1b]0;t\x07\u009b") == "red\t\\x1b]0;t\\x07\\x9b"


def test_version(capsys: Captured) -> None:
    """The version is one line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "orchestry 1.0.0\n"


@pytest.mark.parametrize("line", [
    "list", "status web", "events -f", "up web --no-wait", "audit", "secret list", "run web -- ls",
])
@pytest.mark.parametrize("answer", [{}, {"apps": 1, "events": [7]}])
def test_an_answer_of_something_else(line: str, answer: Any, capsys: Captured) -> None:
    """What is no controller, or one of another age, is no stack trace."""
    with nodes(lambda _: Says(200, answer, as_is=True)) as (stub,):
        words = line.split()
        assert main(["-u", stub.url, *words]) == 1
        assert "Next: Check that --url names a controller" in capsys.readouterr().err
