"""The calls of `AsyncClient`, with the types of their answers.

Written by tools/gen_answers.py; do not edit.
"""

from abc import ABCMeta
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Literal, overload

from orchestry.client import answers, bodies
from orchestry.client.async_transport import Stream
from orchestry.client.calls import Calls
from orchestry.client.untyped import U

class AsyncCalls(Calls[Any, Stream], metaclass=ABCMeta):
    def add_member(
        self, node_id: str, raft_address: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.MemberAdded]: ...
    def apply_release(
        self,
        name: str,
        chart: str,
        chart_version: str,
        specs: Sequence[answers.AppSpec | answers.JobSpec | U],
        *,
        values: Mapping[str, Any] | None = None,
        only: str | None = None,
        dry_run: bool = False,
        keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.ReleaseApplied]: ...
    def begin_drill(
        self, fault: str, *, term: int, seconds: int = 10, key: str | None = None
    ) -> Coroutine[Any, Any, answers.DrillBegun]: ...
    def cancel_run(
        self, app_name: str, run: int, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.RunCancelled]: ...
    def check_health(self, app_name: str) -> Coroutine[Any, Any, answers.HealthChecked]: ...
    def cluster_actions(
        self, *, after: int = 0, limit: int = 1000
    ) -> Coroutine[Any, Any, answers.Actions]: ...
    def cluster_containers(self) -> Coroutine[Any, Any, answers.EngineContainers]: ...
    def cluster_health(self) -> Coroutine[Any, Any, answers.ClusterHealth]: ...
    def cluster_leader(self) -> Coroutine[Any, Any, answers.Leader]: ...
    def cluster_members(self) -> Coroutine[Any, Any, answers.Members]: ...
    def cluster_status(self) -> Coroutine[Any, Any, answers.ClusterStatus]: ...
    def create_token(
        self,
        name: str,
        role: str,
        *,
        apps: str | None = None,
        expires_in: str | None = None,
        key: str | None = None,
    ) -> Coroutine[Any, Any, answers.TokenCreated]: ...
    def delete_registry_login(
        self, host: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.RegistryChanged]: ...
    def delete_secret(
        self, name: str, *, force: bool = False, key: str | None = None
    ) -> Coroutine[Any, Any, answers.SecretRemoved]: ...
    def get_app_events(
        self,
        app_name: str,
        *,
        type: str | None = None,
        since: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> Coroutine[Any, Any, answers.AppEvents]: ...
    def get_app_logs(
        self,
        app_name: str,
        *,
        container: str | None = None,
        tail: int | None = None,
        since: str | None = None,
        level: str | None = None,
    ) -> Coroutine[Any, Any, answers.Logs]: ...
    def get_app_metrics(
        self, app_name: str, *, history: int | None = None, interval: str | None = None
    ) -> Coroutine[Any, Any, answers.AppMetrics]: ...
    def get_app_spec(
        self, app_name: str, *, resolved: bool = False
    ) -> Coroutine[Any, Any, answers.AppSpec]: ...
    def get_app_status(self, app_name: str) -> Coroutine[Any, Any, answers.AppStatus]: ...
    def get_audit(
        self, *, since: str | None = None, limit: int | None = None, before: int | None = None
    ) -> Coroutine[Any, Any, answers.Audit]: ...
    def get_config(self) -> Coroutine[Any, Any, answers.Configuration]: ...
    def get_deployment(
        self, app_name: str, deployment: int
    ) -> Coroutine[Any, Any, answers.DeploymentDetail]: ...
    def get_events(
        self,
        *,
        app: str | None = None,
        type: str | None = None,
        since: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> Coroutine[Any, Any, answers.Events]: ...
    def get_health(self, app_name: str) -> Coroutine[Any, Any, answers.AppHealth]: ...
    def get_job(self, name: str) -> Coroutine[Any, Any, answers.Job]: ...
    def get_release(self, name: str) -> Coroutine[Any, Any, answers.Release]: ...
    def get_release_revision(
        self, name: str, revision: int, *, against: int | None = None
    ) -> Coroutine[Any, Any, answers.ReleaseRevisionFull]: ...
    def get_run(self, app_name: str, run: int) -> Coroutine[Any, Any, answers.Run]: ...
    def get_scaling_decisions(
        self,
        app_name: str,
        *,
        limit: int | None = None,
        since: str | None = None,
        until: str | None = None,
        changes: bool = False,
    ) -> Coroutine[Any, Any, answers.Decisions]: ...
    def get_scaling_policy(self, app_name: str) -> Coroutine[Any, Any, answers.ScalingPolicy]: ...
    def get_secret(self, name: str) -> Coroutine[Any, Any, answers.Secret]: ...
    @overload
    def list_apps(
        self, status: str | None = None, format: Literal["json"] | None = None
    ) -> Coroutine[Any, Any, answers.AppList]: ...
    @overload
    def list_apps(
        self, status: str | None = None, *, format: Literal["summary"]
    ) -> Coroutine[Any, Any, answers.AppTotals]: ...
    @overload
    def list_apps(
        self, status: str | None = None, format: str | None = None
    ) -> Coroutine[Any, Any, answers.AppList | answers.AppTotals]: ...
    def list_deployments(self, app_name: str) -> Coroutine[Any, Any, answers.Deployments]: ...
    def list_jobs(self) -> Coroutine[Any, Any, answers.Jobs]: ...
    def list_registries(self) -> Coroutine[Any, Any, answers.Registries]: ...
    def list_releases(self) -> Coroutine[Any, Any, answers.Releases]: ...
    def list_revisions(self, app_name: str) -> Coroutine[Any, Any, answers.Revisions]: ...
    def list_runs(self, app_name: str) -> Coroutine[Any, Any, answers.Runs]: ...
    def list_secrets(self) -> Coroutine[Any, Any, answers.Secrets]: ...
    def list_tokens(self) -> Coroutine[Any, Any, answers.Tokens]: ...
    def list_volumes(
        self, app_name: str | None = None, *, sizes: bool = False
    ) -> Coroutine[Any, Any, answers.Volumes]: ...
    def pause_app(
        self, app_name: str, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Steered]: ...
    def probe_drill(self, *, key: str | None = None) -> Coroutine[Any, Any, answers.Probed]: ...
    def promote_app(
        self, app_name: str, *, all: bool = False, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Steered]: ...
    @overload
    def register_app(
        self, spec: answers.AppSpec | U, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Registered]: ...
    @overload
    def register_app(
        self, spec: answers.JobSpec | U, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Registered]: ...
    def remove_app(
        self,
        app_name: str,
        *,
        force: bool = False,
        keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Removed]: ...
    def remove_member(
        self, node_id: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.MemberRemoved]: ...
    def remove_volume(
        self, name: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.VolumeRemoved]: ...
    def restart_app(
        self, app_name: str, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Revised]: ...
    def restore_part(
        self,
        restore_id: str,
        part: Mapping[str, Any],
        *,
        adopt: bool = False,
        key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Restored]: ...
    def resume_app(
        self, app_name: str, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Steered]: ...
    def resume_job(
        self, name: str, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.JobSteered]: ...
    def revoke_token(
        self, token_id: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.TokenRevoked]: ...
    def rollback_app(
        self, app_name: str, revision: int | None = None, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.Revised]: ...
    def rollback_release(
        self,
        name: str,
        revision: int | None = None,
        *,
        dry_run: bool = False,
        keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.ReleaseApplied]: ...
    def rotate_registry_login(
        self, host: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.RegistryChanged]: ...
    def rotate_secret(
        self, name: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.SecretRotated]: ...
    def run_app(
        self,
        app_name: str,
        command: Sequence[str],
        *,
        timeout: int = 3600,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.RunRequested]: ...
    def scale_app(
        self,
        app_name: str,
        replicas: int,
        *,
        wait: bool = True,
        timeout: int = 300,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Scaled]: ...
    def set_registry_login(
        self, host: str, username: str, password: str, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.RegistrySet]: ...
    def set_secret(
        self, name: str, values: str | Mapping[str, str], *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.SecretSet]: ...
    def simulate_scaling(
        self,
        app_name: str,
        policy: bodies.PolicyChanges | U | None = None,
        *,
        since: str | None = None,
        samples: Sequence[bodies.Sample | answers.HistoryPoint | U] | None = None,
        replicas: int | None = None,
    ) -> Coroutine[Any, Any, answers.Simulation]: ...
    def start_app(
        self,
        app_name: str,
        replicas: int | None = None,
        *,
        wait: bool = True,
        timeout: int = 300,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Started]: ...
    def stop_app(
        self,
        app_name: str,
        *,
        force: bool = False,
        timeout: int | None = None,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Stopped]: ...
    def suspend_job(
        self, name: str, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.JobSteered]: ...
    def system_health(self) -> Coroutine[Any, Any, answers.SystemHealth]: ...
    def system_metrics(self) -> Coroutine[Any, Any, answers.SystemMetrics]: ...
    def transfer_leadership(
        self, to: str | None = None, *, key: str | None = None
    ) -> Coroutine[Any, Any, answers.Transferred]: ...
    def trigger_job(
        self, name: str, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.RunRequested]: ...
    def uninstall_release(
        self,
        name: str,
        *,
        force: bool = False,
        keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.ReleaseGone]: ...
    @overload
    def update_app(
        self,
        spec: answers.AppSpec | U,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Updated]: ...
    @overload
    def update_app(
        self,
        spec: answers.JobSpec | U,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, answers.Updated]: ...
    def update_config(
        self, changes: bodies.ConfigChanges | U, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.ConfigurationUpdated]: ...
    @overload
    def update_scaling_policy(
        self, app_name: str, policy: bodies.PolicyChanges | U, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.PolicyUpdated]: ...
    @overload
    def update_scaling_policy(
        self, app_name: str, policy: answers.Policy, *, idempotency_key: str | None = None
    ) -> Coroutine[Any, Any, answers.PolicyUpdated]: ...
