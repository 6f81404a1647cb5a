"""Every command, how it is asked for JSON, and what that JSON must be.

One table: a command without a line fails a test. Where a command passes an answer of the API
through, its schema is that of the operation in /openapi.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXT_OR_NULL = {"type": ["string", "null"]}


def record(**keys: Any) -> dict[str, Any]:
    """An object with at least these keys."""
    return {"type": "object", "properties": keys, "required": sorted(keys)}


def rows(one: Any) -> dict[str, Any]:
    """A list of such things, not an empty one."""
    return {"type": "array", "items": one, "minItems": 1}


def answer_of(operation: str) -> dict[str, Any]:
    """The answer of an operation of the API."""
    return {"operation": operation}


ERROR = record(error=TEXT, details={}, code=TEXT)
PINNED = record(pin=TEXT, settings={"type": "object", "minProperties": 1})
REQUESTED = record(message=TEXT, app_name=TEXT, run=COUNT)
CONTEXTS = record(current=TEXT_OR_NULL, contexts={
    "type": "array",
    "items": record(name=TEXT, urls=rows(TEXT), has_token=FLAG, ca_file=TEXT_OR_NULL)})
BACKUP = record(apps=COUNT, cluster_id=TEXT, index=COUNT, sha256=TEXT)
CHART = record(chart=TEXT, version=TEXT, apps=rows(TEXT))

RELEASED = record(message=TEXT, release=TEXT, revision=COUNT, dry_run=FLAG, changes=rows(record(
    app=TEXT, change=TEXT, diff={"type": "array"})), ready={"type": ["boolean", "null"]})

EXECUTED = record(app_name=TEXT, replica=TEXT, exit_code=COUNT, stdout=TEXT, stderr=TEXT,
                  truncated=FLAG, reason=TEXT_OR_NULL)


@dataclass(frozen=True, slots=True)
class Case:
    """A command line, its exit code, and the schema of what it prints with `--json`.

    `{folder}` is a folder for files, `{spec}` the file of an app called `shop`, `{changed}`
    another one of it, `{job}` that of a job called `nightly`, `{token}` the id of the token made
    before, `{other}` a controller that does not lead. `typed` is for standard input.
    """

    line: str
    schema: dict[str, Any]
    code: int = 0
    typed: str = ""

    @property
    def arguments(self) -> list[str]:
        """The words of the line."""
        return self.line.split()


CASES: tuple[Case, ...] = (
    Case("init new -o {folder}/new.yml", record(app_name=TEXT, file=TEXT, spec={})),
    Case("validate {spec} {folder}/new.yml", rows(record(source=TEXT, app_name=TEXT, valid=FLAG))),
    Case("validate {folder}/none.yml", rows(record(source=TEXT, **ERROR["properties"])), 1),
    Case("register {spec}", rows(record(source=TEXT, app_name=TEXT, status=TEXT, revision=COUNT))),
    Case("register {spec}", rows(record(source=TEXT, **ERROR["properties"])), 1),
    Case("up shop --no-wait", answer_of("start_app")),
    Case("up shop", answer_of("start_app")),
    Case("up nobody", ERROR, 4),
    Case("scale shop 3", answer_of("scale_app")),
    Case("scale shop many", ERROR, 2),
    Case("list", answer_of("list_apps")),
    Case("status", answer_of("list_apps")),
    Case("status shop", answer_of("get_app_status")),
    Case("spec shop", answer_of("get_app_spec")),
    Case("spec shop --resolved", answer_of("get_app_spec")),
    Case("health shop", answer_of("get_health")),
    Case("health shop --check", answer_of("check_health")),
    Case("logs shop -n 5", answer_of("get_app_logs")),
    Case("run shop -- /app once 0 0", answer_of("get_run")),
    Case("run shop -d -- /app once 0 0", REQUESTED),
    Case("run shop --list", answer_of("list_runs")),
    Case("run shop", ERROR, 2),
    Case("exec shop -- /app once 0 0", ERROR, 6),
    Case("cluster config set exec.enabled=true", answer_of("update_config")),
    Case("exec shop -- /app once 3 0 said", EXECUTED, 3),
    Case("exec shop --replica 99 -- /app", ERROR, 4),
    Case("exec shop -t -- /app", ERROR, 2),
    Case("events -n 5", answer_of("get_events")),
    Case("events shop", answer_of("get_app_events")),
    Case("metrics", answer_of("system_metrics")),
    Case("metrics shop", answer_of("get_app_metrics")),
    Case("top", record(apps=rows(record(name=TEXT, status=TEXT, replicas={}, metrics={})))),
    Case("top shop", answer_of("get_app_metrics")),
    Case("autoscale shop", answer_of("get_scaling_policy")),
    Case("autoscale shop --max 7", answer_of("update_scaling_policy")),
    Case("autoscale shop --explain", answer_of("get_scaling_decisions")),
    Case("autoscale shop --since 1h", answer_of("simulate_scaling")),
    Case("info", record(version=TEXT, urls=rows(TEXT), context=TEXT_OR_NULL, cluster={},
                        health={}, apps={})),
    Case("cluster status", answer_of("cluster_status")),
    Case("cluster leader", answer_of("cluster_leader")),
    Case("cluster health", answer_of("cluster_health")),
    Case("cluster members", answer_of("list_members")),
    Case("cluster verify", record(clean=FLAG, complete=FLAG, actions=COUNT, epochs=COUNT,
                                  containers=COUNT, findings={"type": "array"})),
    Case("cluster config get", answer_of("get_config")),
    Case("cluster config set scaling.default_cooldown=240", answer_of("update_config")),
    Case("cluster config unset scaling.default_cooldown", answer_of("update_config")),
    Case("cluster backup {folder}/state", BACKUP),
    Case("cluster restore {folder}/state --yes", ERROR, 1),
    Case("cluster add spare 127.0.0.1:1", answer_of("add_member")),
    Case("cluster remove spare", answer_of("remove_member")),
    Case("cluster transfer --to {other}", answer_of("transfer_leadership")),
    Case("token create ci -r viewer", answer_of("create_token")),
    Case("token list", answer_of("list_tokens")),
    Case("token revoke {token}", answer_of("revoke_token")),
    Case("volumes list --sizes", answer_of("list_volumes")),
    Case("volumes list --app shop", answer_of("list_app_volumes")),
    Case("volumes rm orchestry-shop-data", ERROR, 2),
    Case("volumes rm orchestry-none-data --yes", ERROR, 4),
    Case("audit", answer_of("get_audit")),
    Case("audit verify", record(entries=COUNT, oldest=TEXT_OR_NULL, complete=FLAG,
                                faults={"type": "array"})),
    Case("chart render helm-like/web-app", CHART),
    Case("chart lint helm-like/web-app", record(chart=TEXT, version=TEXT, valid=FLAG)),
    Case("chart install web helm-like/web-app --no-wait", RELEASED),
    Case("chart upgrade web helm-like/web-app --reuse-values --set replicas.min=2 --no-wait",
         RELEASED),
    Case("chart upgrade none helm-like/web-app", ERROR, 4),
    Case("chart list", answer_of("list_releases")),
    Case("chart history web", answer_of("get_release")),
    Case("chart diff web", answer_of("get_release_revision")),
    Case("chart rollback web --dry-run", RELEASED),
    Case("chart uninstall web", ERROR, 2),
    Case("chart uninstall web --yes", answer_of("uninstall_release")),
    Case("config set here", CONTEXTS),
    Case("config use here", CONTEXTS),
    Case("config list", CONTEXTS),
    Case("config rm here", CONTEXTS),
    Case("config rm here", ERROR, 1),
    Case("apply {changed} --dry-run", rows(record(
        source=TEXT, app_name=TEXT, status=TEXT, plan={}))),
    Case("deploys shop", answer_of("list_deployments")),
    Case("revisions shop", answer_of("list_revisions")),
    Case("apply {changed}", rows(record(
        source=TEXT, app_name=TEXT, status=TEXT, revision=COUNT, deployment=COUNT))),
    Case("pause shop", answer_of("pause_app")),
    Case("resume shop", answer_of("resume_app")),
    Case("promote shop", answer_of("promote_app")),
    Case("rollback shop --wait", answer_of("rollback_app")),
    Case("restart shop", answer_of("restart_app")),
    Case("promote nobody", ERROR, 4),
    Case("register {job}", rows(record(source=TEXT, app_name=TEXT, status=TEXT))),
    Case("jobs list", answer_of("list_jobs")),
    Case("jobs trigger nightly", answer_of("get_run")),
    Case("jobs trigger nightly -d", REQUESTED),
    Case("jobs history nightly", answer_of("list_runs")),
    Case("jobs suspend nightly", answer_of("suspend_job")),
    Case("jobs resume nightly", answer_of("resume_job")),
    Case("jobs trigger shop -d", ERROR, 1),
    Case("secret set db user password", answer_of("set_secret"),
         typed="me\nx\n"),
    Case("secret list", answer_of("list_secrets")),
    Case("secret rotate", record(secrets=rows(record(name=TEXT, key=TEXT)), total=COUNT)),
    Case("secret rm db", answer_of("delete_secret")),
    Case("secret rm db", ERROR, 4),
    Case("registry login registry.invalid:5000 --username me", answer_of("set_registry_login"),
         typed="password\n"),
    Case("registry list", answer_of("list_registries")),
    Case("registry logout registry.invalid:5000", answer_of("delete_registry_login")),
    Case("cluster ca init --dir {folder}/ca --name c1 --host 127.0.0.1", PINNED),
    Case("cluster ca issue --dir {folder}/ca --name c2 --host 127.0.0.1 --out {folder}/c2",
         PINNED),
    Case("cluster ca token --dir {folder}/ca --name c3 --host 127.0.0.1",
         record(token=TEXT, pin=TEXT)),
    Case("cluster drill leader-kill", ERROR, 1),
    Case("down shop", answer_of("stop_app")),
    Case("delete shop", ERROR, 2),
    Case("delete shop --force", answer_of("remove_app")),
)

ELSEWHERE = {
    "dev": "runs a cluster until it is stopped: tests/acceptance/test_dev.py",
    "node": "runs a controller until it is stopped: tests/acceptance/test_node.py",
    "cluster ca join": "needs a controller with TLS: tests/api/test_join.py",
    "cluster recover": "needs a stopped controller: tests/acceptance/test_backup.py",
}
"""Commands whose JSON is not read here, and why."""


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        part = command.get_command(context, name)
        assert part is not None, name
        yield from commands(part, (*path, name))


def schema_of(case: Case, document: dict[str, Any]) -> dict[str, Any]:
    """A whole JSON schema; `document` is /openapi.json."""
    wanted = case.schema.get("operation")
    if wanted is None:
        return case.schema
    (operation,) = (
        operation for item in document["paths"].values() for operation in item.values()
        if operation["operationId"] == wanted)
    (good,) = (one for status, one in operation["responses"].items()
               if status in ("200", "201", "202"))
    return {**good["content"]["application/json"]["schema"], "components": document["components"]}
