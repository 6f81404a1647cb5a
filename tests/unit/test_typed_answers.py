"""What users' type checkers learn of the Python client: each answer has a type of its own."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import orchestry
from orchestry.client import answers, bodies
from orchestry.client.calls import Calls
from orchestry.spec import jobs, tables
from tests.architecture.files import ROOT

CLIENT = ROOT / "orchestry" / "client"
STUBS = {"blocking_calls.pyi": "answers.", "async_calls.pyi": "Coroutine[Any, Any, answers."}
MYPY_S = 240
# What users write down is checked key by key; what they loaded passes.
SENT = """
from collections.abc import Mapping
from typing import Any
import orchestry
from orchestry.client.answers import AppSpec, JobSpec
from orchestry.client.bodies import ConfigChanges, PolicyChanges

client = orchestry.Client("http://localhost:8000")
loaded: dict[str, Any] = {}
mapped: Mapping[str, Any] = loaded
client.register_app(loaded)
client.update_app(mapped, dry_run=True)
client.update_scaling_policy("web", loaded)
client.update_config(mapped)
client.apply_release("r", "c", "1.0.0", [loaded, mapped])
client.simulate_scaling("web", loaded, samples=[loaded])
client.simulate_scaling("web", {"max_replicas": 4}, samples=client.get_app_metrics("web")["history"])
client.register_app({
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "web", "labels": {"tier": "front"}},
    "spec": {"image": "web:1", "ports": [{"containerPort": 80, "protocol": "HTTP"}],
             "environment": [{"name": "A", "value": "b"}], "resources": {"cpu": 0.5}},
    "scaling": {"mode": "auto", "targetRPSPerReplica": 10},
    "deploy": {"strategy": "canary", "steps": [{"weight": 10}]}})
client.update_app({
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "web"},
    "spec": {"image": "web:1", "ports": [{"containerPort": 80}],
             "env": [{"name": "A", "source": "secret", "key": "b"}]}})
client.register_app({
    "apiVersion": "v1", "kind": "Job", "metadata": {"name": "nightly"},
    "spec": {"image": "web:1", "command": ["true"]}, "job": {"schedule": "0 3 * * *"}})
client.update_app(client.get_app_spec("web"))
client.update_scaling_policy("web", client.get_scaling_policy("web")["policy"])
client.update_scaling_policy("web", {"max_replicas": 3, "metrics": ["cpu"], "schedule": []})
client.update_config({"scaling": {"default_cooldown": 300}, "limits": {"per_hour": None}})
job: JobSpec = {"apiVersion": "v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"image": "i"}}
client.apply_release("r", "c", "1.0.0", [job, loaded])
client.register_app({"apiVersion": "v1", "kind": "App", "metadata": {"name": "a"}, "spec": {"imag": "i", "ports": []}})  # Missing key "image" for TypedDict "AppSpecSpec" || Extra key "imag" for TypedDict "AppSpecSpec"
client.update_app({"apiVersion": "v1", "kind": "App", "metadata": {"name": "a"}, "spec": {"image": "i", "ports": []}, "scale": {}})  # Extra key "scale" for TypedDict "AppSpec"
client.update_scaling_policy("web", {"maxReplicas": 3})  # Extra key "maxReplicas" for TypedDict "PolicyChanges"
client.update_scaling_policy("web", {"max_replicas": "3"})  # Incompatible types (expression has type "str", TypedDict item "max_replicas" has type "int")
client.simulate_scaling("web", {"max": 3})  # Argument 2 to "simulate_scaling" of "BlockingCalls" has incompatible type "dict[str, int]"; expected "PolicyChanges | None"
client.update_config({"scaling": {"cooldown": 3}})  # Extra key "cooldown" for TypedDict "ConfigChangesScaling"
job = {"apiVersion": "v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"image": "i", "ports": []}}  # Extra key "ports" for TypedDict "JobSpecSpec"


async def look(other: orchestry.AsyncClient) -> None:
    await other.register_app(loaded)
    await other.update_scaling_policy("web", {"min_replica": 3})  # Extra key "min_replica" for TypedDict "PolicyChanges"
"""  # noqa: E501 - with each message in its line
# A comment says what is wrong in a line; the others are right.
PROGRAM = """
import asyncio
from contextlib import aclosing
import orchestry
import yaml
from orchestry.client.answers import AppList, AppMeasured, AppSpec, AppStatus, AppTotals, Event

client = orchestry.Client("http://localhost:8000")
with open('app.yml') as f:
    spec = yaml.safe_load(f)
client.register_app(spec)
client.start_app("my-app", replicas=3)
status = client.get_app_status("my-app")
print(f"App is {status['status']} with {status['replicas']['current']} replicas")
known: AppStatus = status
counted: int = status["replicas"]["healthy"]
cpu: float | None = status["metrics"]["cpu_percent"]
apps: AppList = client.list_apps("running")
names: list[str] = [app["name"] for app in apps["apps"]]
totals: AppTotals = client.list_apps(format="summary")
wanted: AppSpec = client.get_app_spec("my-app")
image: str = client.update_app(wanted)["status"] + wanted["spec"]["image"]
for event in client.stream_events(since_id=0):
    seen: Event = event
    at: str = event["timestamp"]
client.stream_events().close()
measured: AppMeasured = next(client.stream_metrics("my-app"))
if (receipt := client.get_deployment("my-app", 1)["receipt"]) and receipt["during"]:
    failed: int = receipt["during"]["failed"]
print(status["colour"])  # typeddict-item
print(totals["apps"])  # typeddict-item
wrong: str = client.scale_app("my-app", 2)["current_replicas"]  # assignment
if status["status"] == "sleeping":  # comparison-overlap
    pass
client.scale_app("my-app", "2")  # arg-type
client.scale_app("my-app", 2, why="")  # call-arg
client.list_apps(format=1)  # call-overload
client.get_app_status("my-app").current  # attr-defined
client.explode()  # attr-defined


async def look() -> None:
    async with orchestry.AsyncClient("http://localhost:8000") as other:
        found, listed = await asyncio.gather(other.get_app_status("a"), other.list_apps())
        healthy: int = found["replicas"]["healthy"]
        rows: list[str] = [app["image"] for app in listed["apps"]]
        async with aclosing(other.stream_logs("my-app", tail=10)) as lines:
            async for line in lines:
                text: str = line["message"]
                number: int = line["message"]  # assignment
        (await other.list_apps(format="summary"))["apps"]  # typeddict-item
        other.get_app_status("a")["replicas"]  # index
        healthy = (await other.get_run("my-app", 1))["status"]  # assignment
        await other.start_app()  # call-arg
"""


def test_generated_types_are_current() -> None:
    """They equal what tools/gen_answers.py writes from the models of the API."""
    made = runpy.run_path(str(ROOT / "tools" / "gen_answers.py"))["files"]()
    assert len(made) > 10
    stale = [str(path) for path, text in made.items() if path.read_text() != text]
    assert stale == [], "run `python tools/gen_answers.py`"
    assert {path for path in made if path.parent.name == "answers"} == set(
        (CLIENT / "answers").glob("*.py"))


def test_a_type_checker_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    """A user's program, with the calls of both clients, under `mypy --strict`."""
    told = checked(tmp_path, PROGRAM)
    found = re.findall(r"^program\.py:(\d+): error: .*\[([\w-]+)\]$", told, re.MULTILINE)
    wanted = [
        (str(number), line.partition("  # ")[2])
        for number, line in enumerate(PROGRAM.splitlines(), 1) if "  # " in line]
    assert found == wanted, told
    assert len(wanted) > 10


def test_a_wrong_key_of_what_is_sent_is_named(tmp_path: Path) -> None:
    """In the very line, by its name; whatever was loaded from a file passes."""
    told = checked(tmp_path, SENT)
    found: dict[int, list[str]] = {}
    for line, message in re.findall(
            r"^program\.py:(\d+): error: (.*)  \[[\w-]+\]$", told, re.MULTILINE):
        found.setdefault(int(line), []).append(message)
    wanted = {
        number: line.partition("  # ")[2].split(" || ")
        for number, line in enumerate(SENT.splitlines(), 1) if "  # " in line}
    assert found == wanted, told
    assert len(wanted) > 7


def test_bodies_are_those_that_the_api_takes() -> None:
    """The types of specs have the keys that `validate` reads, in both spellings."""
    spec = typing.get_type_hints(answers.AppSpec)["spec"]
    assert set(typing.get_type_hints(spec)) == {
        name for key in tables.spec(1).keys for name in (key.name, *key.aliases)}
    assert set(typing.get_type_hints(answers.JobSpec)) == {
        key.name for key in jobs.document(1).keys}
    for name, kind in vars(bodies).items():
        if typing.is_typeddict(kind) and kind.__module__ == bodies.__name__:
            assert typing.get_type_hints(kind), name


def checked(folder: Path, program: str) -> str:
    """What `mypy --strict` says of a user's program."""
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--follow-imports=silent",
         "--cache-dir", folder / "cache", "program.py"],
        cwd=folder, env={"MYPYPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=MYPY_S, check=False)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("stub", STUBS)
def test_no_call_answers_with_just_anything(stub: str) -> None:
    """Each has a typed dictionary that exists; so have the streams."""
    calls = {name for name, function in inspect.getmembers(Calls, inspect.isfunction)
             if not name.startswith("_") and name != "gap_s"}
    functions = [
        node for node in ast.walk(ast.parse((CLIENT / stub).read_text()))
        if isinstance(node, ast.FunctionDef)]
    assert {function.name for function in functions} == calls
    for function in functions:
        assert function.returns is not None
        answer = ast.unparse(function.returns)
        assert answer.startswith(STUBS[stub]), function.name
        for name in re.findall(r"answers\.(\w+)", answer):
            assert typing.is_typeddict(getattr(answers, name)), name
    for kind in (orchestry.Client, orchestry.AsyncClient):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if name.startswith("stream_"):
                streamed = re.search(r"\[answers\.(\w+), ", method.__annotations__["return"])
                assert streamed is not None, name
                assert typing.is_typeddict(getattr(answers, streamed[1])), name


def test_types_say_all_that_they_refer_to() -> None:
    """Every annotation of every type resolves, also for who validates by them at run time."""
    assert len(answers.__all__) > 100
    for name in answers.__all__:
        assert typing.get_type_hints(getattr(answers, name)), name
    assert answers.Updated.__optional_keys__ == {"plan"}


def test_a_program_that_runs_does_not_load_the_types() -> None:
    """They are for type checkers, and cost no start-up time."""
    code = (
        "import sys, orchestry; from orchestry.cli import main\n"
        "orchestry.Client('http://127.0.0.1:1'); orchestry.AsyncClient\n"
        "print([name for name in sys.modules if name.startswith("
        "('orchestry.client.answers', 'orchestry.client.bodies'))])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True,
                          timeout=60, check=True)
    assert done.stdout == "[]\n"
