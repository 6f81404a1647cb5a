"""The Node client's own tests, in node's runner."""

from __future__ import annotations

import json
import re
import runpy
import subprocess

import pytest

import orchestry
from tests.architecture.files import ROOT
from tools.answers import answer_types

CONTRACT = (
    "register_app", "start_app", "stop_app", "scale_app", "remove_app", "get_app_status",
    "list_apps", "get_app_spec", "get_app_metrics", "get_app_events", "get_app_logs",
    "get_scaling_policy", "update_scaling_policy", "get_health", "check_health",
    "system_health", "system_metrics", "get_config", "update_config", "cluster_status",
    "cluster_leader", "cluster_health", "update_app", "list_revisions", "rollback_app",
    "restart_app", "pause_app", "resume_app", "promote_app", "list_deployments",
    "get_deployment", "set_secret", "list_secrets", "get_secret", "delete_secret",
    "rotate_secret", "list_volumes", "remove_volume", "run_app", "list_runs", "get_run",
    "cancel_run", "list_jobs", "get_job", "trigger_job", "suspend_job", "resume_job",
    "set_registry_login", "list_registries", "delete_registry_login",
    "rotate_registry_login",
)
SDK = ROOT / "sdk" / "node"
RUN_S = 240


@pytest.mark.parametrize("file", sorted(path.name for path in (SDK / "test").glob("*.test.js")))
def test_the_client_passes_its_tests(file: str) -> None:
    """Decisions, calls, errors and streams against small stubs: see the file itself."""
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", f"test/{file}"], cwd=SDK, text=True,
        capture_output=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 0
    assert re.search(r"^# (fail|skipped|todo|cancelled) [1-9]", done.stdout, re.MULTILINE) is None


def test_every_program_is_valid() -> None:
    """Also the files that no test loads."""
    programs = sorted(path for path in SDK.rglob("*.*js") if "node_modules" not in path.parts)
    assert len(programs) > 10
    for program in programs:
        done = subprocess.run(["node", "--check", program], text=True, capture_output=True,
                              timeout=RUN_S, check=False)
        assert done.returncode == 0, done.stderr


def camel_case(name: str) -> str:
    """`get_app_status` -> `getAppStatus`."""
    return re.sub(r"_(.)", lambda found: found[1].upper(), name)


def test_calls_and_types_have_the_names_of_the_contract() -> None:
    """What the Python client calls `start_app` is `startApp` here; neither has more, nor the types.

    Only the pace of many calls is the caller's own business in Node.
    """
    code = ("console.log(JSON.stringify(Object.getOwnPropertyNames("
            "require('./index.js').prototype)))")
    printed = subprocess.run(["node", "-e", code], cwd=SDK, text=True, capture_output=True,
                             timeout=RUN_S, check=True).stdout
    names = set(json.loads(printed)) - {"constructor"}
    types = [(SDK / "index.d.ts").read_text().partition("\n}\n")[0],
             (SDK / "src" / "operations.d.ts").read_text().partition("interface Operations {")[2]]
    declared = {name for text in types for name in re.findall(r"^  (\w+)\(", text, re.MULTILINE)}
    assert declared - {"constructor"} == names - {"urls"}
    python = {name for name in dir(orchestry.Client) if not name.startswith("_")} - {"gap_s"}
    assert {camel_case(name) for name in python} == names
    streams = {"stream_deployment", "stream_events", "stream_logs", "stream_metrics"}
    assert set(CONTRACT) | streams <= python


DECLARED = re.compile(
    r"^  (\w+)\((?:(?!^  \w).)*?\):\s*(?:Promise|AsyncGenerator)<([^;]*?)(?:, void, undefined)?>;$",
    re.MULTILINE | re.DOTALL)


def test_types_of_answers_are_current_and_each_call_has_its_own() -> None:
    """They equal what the generator writes from the models of the API, as do those of Python."""
    made = runpy.run_path(str(ROOT / "tools" / "gen_node_answers.py"))["files"]()
    stale = [str(path) for path, text in made.items() if path.read_text() != text]
    assert stale == [], "run `python tools/gen_node_answers.py`"
    assert set(made) == {*(SDK / "src" / "answers").iterdir(), SDK / "src" / "bodies.d.ts"}
    declared = [
        found for file in (SDK / "index.d.ts", SDK / "src" / "operations.d.ts")
        for found in DECLARED.findall(file.read_text()) if found[1].startswith("answers.")]
    wanted = {
        (camel_case(name), f"answers.{answer}") for name, answer in answer_types().calls.items()}
    assert set(declared) == wanted | {("listApps", "answers.AppTotals")}
    assert len(declared) == len(wanted) + 1


def test_every_call_is_made_in_the_table_of_its_test() -> None:
    """With its method, path, query and body; streams have a file of their own."""
    table = (SDK / "test" / "client.test.js").read_text().partition("const CALLS = [")[2]
    made = set(re.findall(r"^  \['(\w+)', \[", table.partition("\n];\n")[0], re.MULTILINE))
    python = {name for name in dir(orchestry.Client) if not name.startswith(("_", "stream_"))}
    assert made == {camel_case(name) for name in python} - {
        "gapS", "close", "urls", "execApp", "openExec"}  # those two in a file of their own
