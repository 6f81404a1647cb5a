import type { Operations } from './src/operations';

/** Client for Orchestry clusters. All times that calls take are seconds. */
declare class Orchestry {
  /**
   * @param url one controller, a load balancer, or all controllers
   * @throws TypeError for a malformed address, token or timeout
   */
  constructor(url: string | readonly string[], options?: Orchestry.Options);

  /** The controllers that this client knows. */
  readonly urls: string[];
  /** Close the kept connections; they do not keep the process alive either. */
  close(): void;

  registerApp(spec: Orchestry.AppSpec, options?: Orchestry.WriteOptions):
    Promise<Orchestry.Registered>;
  startApp(appName: string, options?: Orchestry.StartOptions): Promise<Orchestry.Started>;
  stopApp(appName: string, options?: Orchestry.StopOptions): Promise<Orchestry.Stopped>;
  scaleApp(appName: string, replicas: number, options?: Orchestry.WaitOptions):
    Promise<Orchestry.Scaled>;
  removeApp(appName: string, options?: Orchestry.RemoveOptions): Promise<Orchestry.Removed>;
  getAppStatus(appName: string): Promise<Orchestry.AppStatus>;
  listApps(options: Orchestry.ListOptions & { format: 'summary' }): Promise<Orchestry.AppCounts>;
  listApps(options?: Orchestry.ListOptions): Promise<Orchestry.AppList>;
  getAppSpec(appName: string, options?: { resolved?: boolean }): Promise<Orchestry.AppSpec>;

  /** Give the app of this name this spec, or register it. */
  updateApp(spec: Orchestry.AppSpec, options?: Orchestry.WriteOptions & { dryRun?: boolean }):
    Promise<Orchestry.Updated>;
  listRevisions(appName: string): Promise<Orchestry.Revisions>;
  /** By default to the last revision that was healthy. */
  rollbackApp(appName: string, options?: Orchestry.WriteOptions & { revision?: number }):
    Promise<Orchestry.Revised>;
  restartApp(appName: string, options?: Orchestry.WriteOptions): Promise<Orchestry.Revised>;
  pauseApp(appName: string, options?: Orchestry.WriteOptions): Promise<Orchestry.Steered>;
  resumeApp(appName: string, options?: Orchestry.WriteOptions): Promise<Orchestry.Steered>;
  /** A canary goes on to its next step, with `all` to the end. */
  promoteApp(appName: string, options?: Orchestry.WriteOptions & { all?: boolean }):
    Promise<Orchestry.Steered>;
  listDeployments(appName: string): Promise<Orchestry.Deployments>;
  getDeployment(appName: string, deployment: number): Promise<Orchestry.DeploymentDetail>;

  getAppMetrics(appName: string, options?: Orchestry.MetricsOptions):
    Promise<Orchestry.AppMetrics>;
  getAppEvents(appName: string, options?: Orchestry.EventsOptions): Promise<Orchestry.AppEvents>;
  getEvents(options?: Orchestry.EventsOptions & { app?: string }):
    Promise<Orchestry.ClusterEvents>;
  getAppLogs(appName: string, options?: Orchestry.LogsOptions): Promise<Orchestry.AppLogs>;

  /** Lines as they are written, until the app is removed; goes on at another controller. */
  streamLogs(appName: string, options?: Orchestry.LogsOptions & Orchestry.StreamOptions):
    AsyncGenerator<Orchestry.LogEntry, void, undefined>;
  /** How a deployment goes, with each replica, until it is over; one that is held is not. */
  streamDeployment(appName: string, deployment: number, options?: Orchestry.StreamOptions):
    AsyncGenerator<Orchestry.DeploymentDetail, void, undefined>;
  /** Each measurement, beginning with the last, until the app is removed. */
  streamMetrics(appName: string, options?: Orchestry.StreamOptions):
    AsyncGenerator<Orchestry.Measured, void, undefined>;
  /** Events after `sinceId`, or from now on, without a gap or a double. */
  streamEvents(options?: Orchestry.StreamEventsOptions):
    AsyncGenerator<Orchestry.StreamedEvent, void, undefined>;

  getScalingPolicy(appName: string): Promise<Orchestry.ScalingPolicy>;
  updateScalingPolicy(
    appName: string, policy: Orchestry.PolicyChanges, options?: Orchestry.WriteOptions,
  ): Promise<Orchestry.PolicyUpdated>;
  getHealth(appName: string): Promise<Orchestry.AppHealth>;
  checkHealth(appName: string): Promise<Orchestry.HealthChecked>;

  setSecret(
    name: string, values: string | Record<string, string>, options?: Orchestry.WriteOptions,
  ): Promise<Orchestry.SecretSet>;
  listSecrets(): Promise<{ secrets: Orchestry.Secret[]; total: number }>;
  getSecret(name: string): Promise<Orchestry.Secret>;
  deleteSecret(name: string, options?: Orchestry.WriteOptions & { force?: boolean }):
    Promise<{ message: string; name: string; used_by: number }>;
  rotateSecret(name: string, options?: Orchestry.WriteOptions):
    Promise<{ message: string; name: string; key: string }>;

  listVolumes(options?: { app?: string; sizes?: boolean }):
    Promise<{ volumes: Orchestry.Volume[]; total: number }>;
  removeVolume(name: string, options?: Orchestry.WriteOptions):
    Promise<{ message: string; name: string; app: string }>;

  systemHealth(): Promise<Orchestry.SystemHealth>;
  systemMetrics(): Promise<Orchestry.SystemMetrics>;
  getConfig(): Promise<Orchestry.Config>;
  updateConfig(changes: Orchestry.Json, options?: Orchestry.WriteOptions):
    Promise<Orchestry.Json>;
  clusterStatus(): Promise<Orchestry.ClusterStatus>;
  clusterLeader(): Promise<Orchestry.Leader>;
  clusterHealth(): Promise<Orchestry.ClusterHealth>;
}

interface Orchestry extends Operations {}

declare namespace Orchestry {
  interface Json { [key: string]: unknown }

  interface Options {
    /** Sent to known controllers only. */
    token?: string | null;
    /** Bounds each call in seconds with all its tries; 30 by default. */
    timeout?: number;
    /** CAs of the controllers in PEM; those of Node by default. */
    ca?: string | Uint8Array;
    /** Our certificate in PEM, where controllers ask for one. */
    cert?: string | Uint8Array;
    /** Its key. */
    key?: string | Uint8Array;
  }
  interface WriteOptions {
    /** For repeating a write from another process: 1 to 128 visible ASCII characters. */
    idempotencyKey?: string;
  }
  interface WaitOptions extends WriteOptions {
    wait?: boolean;
    /** Seconds to wait for the replicas; 300 by default. */
    timeout?: number;
  }
  interface StartOptions extends WaitOptions { replicas?: number }
  interface StopOptions extends WriteOptions {
    /** `timeout` is the grace period in seconds. */
    force?: boolean; timeout?: number;
  }
  interface RemoveOptions extends WriteOptions { force?: boolean; keepData?: boolean }
  interface ListOptions { status?: Status; format?: 'json' | 'summary' }
  interface MetricsOptions { history?: number; interval?: '5m' | '1h' | '1d' }
  interface EventsOptions {
    type?: EventType;
    /** Like "30m", "1h", "1d", or an RFC 3339 time. */
    since?: string; limit?: number;
    /** An event's id, for the page before it. */
    before?: number;
  }
  interface LogsOptions { container?: string; tail?: number; since?: string; level?: Level }
  /** Aborting the signal ends the iteration. */
  interface StreamOptions { signal?: AbortSignal }
  interface StreamEventsOptions extends StreamOptions {
    sinceId?: number; app?: string; type?: EventType;
  }

  type Status =
    'registered' | 'starting' | 'running' | 'updating' | 'stopping' | 'stopped' | 'error';
  type EventType = 'scaling' | 'health' | 'config' | 'error' | 'cluster';
  type Level = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';

  interface AppSpec {
    apiVersion?: string; kind?: string;
    metadata: { name: string; labels?: Record<string, string>; [key: string]: unknown };
    spec: { type?: string; image: string; [key: string]: unknown };
    [key: string]: unknown;
  }
  interface Registered { message: string; app_name: string; status: 'registered' }
  interface Started { message: string; app_name: string; replicas: number; status: Status }
  interface Stopped { message: string; app_name: string; status: Status }
  interface Scaled {
    message: string; app_name: string; previous_replicas: number; current_replicas: number;
    /** Seconds. */
    scaling_time: number;
  }
  interface Removed {
    message: string; app_name: string; containers_removed: number; volumes_removed: number;
  }
  interface Plan {
    changes: { field: string; before: unknown; after: unknown }[];
    rolls: boolean; start: string[]; stop: string[]; keep: string[];
  }
  interface Updated {
    message: string; app_name: string; status: 'created' | 'updated' | 'unchanged';
    revision: number;
    deployment: number | null;
    dry_run: boolean;
    /** Only of a dry run. */
    plan: Plan | null;
  }
  interface Revised { message: string; app_name: string; revision: number; deployment: number }
  interface Steered { message: string; app_name: string; deployment: number; phase: Phase }
  type Phase = import('./src/deploys.js').Phase;
  interface Revisions {
    app_name: string;
    revisions: {
      revision: number; current: boolean; healthy: boolean; cause: string; created_at: string;
      image: string | null; pinned: string | null; template: number; spec: AppSpec;
    }[];
    total: number;
  }
  type CanaryAt = import('./src/deploys.js').CanaryAt;
  type Receipt = import('./src/deploys.js').Receipt;
  type Deployment = import('./src/deploys.js').Deployment;
  type DeploymentDetail = import('./src/deploys.js').DeploymentDetail;
  type Deployments = import('./src/deploys.js').Deployments;
  type Pulling = import('./src/deploys.js').Pulling;
  /** Null where nothing was measured. */
  interface Load {
    cpu_percent: number | null;
    memory_percent: number | null;
    rps: number | null;
    latency_p95_ms: number | null;
    active_connections: number | null;
  }
  interface Replicas { current: number; desired: number; healthy: number }
  interface Container {
    id: string; name: string; ip: string; port: number; status: string; health: string;
    started_at: string | null; restarts: number; next_attempt_at: string | null;
    state: 'created' | 'running' | 'exited' | 'waiting' | 'crash_loop' | 'finished' | 'failed';
  }
  interface Exit { reason: string; exit_code: number | null; signal: string | null; at: string }
  interface ReplicaRestarts {
    name: string; slot: number; revision: number; failures: number; failures_in_a_row: number;
    oom_kills: number; crash_loop: boolean; over: 'finished' | 'failed' | null;
    next_attempt_at: string | null; last_exit: Exit | null;
  }
  interface AppStatus {
    name: string; kind: 'App' | 'Job'; status: Status; replicas: Replicas; metrics: Load;
    created_at: string; updated_at: string; last_scaled_at: string | null;
    containers: Container[]; revision: number; image: string;
    pinned: string | null; pulling: Pulling | null;
    problem: { code: string; message: string } | null;
    /** What is under way. */
    deployment:
      { id: number; kind: string; phase: Phase; wanted: number; available: number } | null;
    restarts: { failures: number; oom_kills: number; replicas: ReplicaRestarts[] };
  }
  interface AppCounts { total: number; running: number; stopped: number; error: number }
  interface AppList extends AppCounts {
    apps: {
      name: string; kind: 'App' | 'Job'; status: Status; replicas: Replicas; image: string;
      created_at: string; revision: number;
    }[];
  }
  interface Current extends Load { healthy_replicas: number; total_replicas: number }
  interface AppMetrics {
    app_name: string; timestamp: string; current: Current;
    history: (Partial<Load> & { timestamp: string })[];
  }
  interface Measured extends Current { app_name: string }
  interface AppEvent {
    id: number;
    type: EventType;
    message: string;
    timestamp: string;
    details: Json;
  }
  interface StreamedEvent extends AppEvent { app_name: string | null }
  interface AppEvents { app_name: string; events: AppEvent[]; total: number; has_more: boolean }
  interface ClusterEvents { events: StreamedEvent[]; total: number; has_more: boolean }
  interface LogEntry {
    timestamp: string;
    container: string;
    level: Level;
    message: string;
    stream: 'stdout' | 'stderr';
    truncated: boolean;
  }
  interface AppLogs {
    app_name: string;
    logs: LogEntry[];
    total_lines: number;
    has_more: boolean;
    unavailable: { container: string; reason: string }[];
  }
  interface Policy {
    min_replicas: number; max_replicas: number;
    target_rps_per_replica: number; max_p95_latency_ms: number;
    max_cpu_percent: number; max_memory_percent: number;
    scale_out_threshold_pct: number; scale_in_threshold_pct: number;
    window_seconds: number; cooldown_seconds: number;
  }
  type PolicyChanges = Partial<Policy> & { mode?: 'auto' | 'manual'; [key: string]: unknown };
  interface ScalingPolicy {
    app_name: string;
    mode: string;
    policy: Policy;
    last_scaling_event: {
      timestamp: string; action: string; from_replicas: number; to_replicas: number;
      reason: string;
    } | null;
  }
  interface PolicyUpdated {
    message: string; app_name: string; previous_policy: Partial<Policy>;
    new_policy: Partial<Policy>;
  }
  interface AppHealth {
    app_name: string;
    overall_health: string;
    healthy_replicas: number;
    total_replicas: number;
    containers: {
      id: string; name: string; health: string; last_check: string | null;
      consecutive_failures: number | null; response_time_ms: number | null;
      last_error: string | null;
    }[];
    health_check_config: Json;
  }
  interface HealthChecked {
    message: string; app_name: string; containers_checked: number; healthy: number;
    unhealthy: number;
  }
  interface SystemHealth {
    status: string;
    timestamp: string;
    version: string;
    uptime_seconds: number;
    components: Record<string, { status: string; [key: string]: unknown }>;
    applications: AppCounts;
  }
  interface SystemMetrics { timestamp: string; system: Json; applications: Json[]; network: Json }
  interface Secret {
    name: string; version: number; fields: string[]; key: string; used_by: string[];
    created_at: string; updated_at: string;
  }
  interface Volume {
    name: string; app: string; in_use: boolean; used_by: string[]; orphaned: boolean;
    removing: boolean; created_at: string; size_bytes: number | null;
  }
  interface SecretSet { message: string; name: string; version: number; apps_restarted: number }
  interface Config { version: string; [group: string]: unknown }
  interface Lease {
    leader_id: string; term: number; acquired_at: number; expires_at: number;
    renewed_at: number; hostname: string; api_url: string;
  }
  /** Times of the cluster are Unix seconds. */
  interface ClusterStatus {
    node_id: string;
    hostname: string;
    state: string;
    term: number;
    is_leader: boolean;
    leader_id: string | null;
    cluster_size: number;
    nodes: {
      node_id: string; hostname: string | null; state: string; is_healthy: boolean;
      last_heartbeat: number | null; [key: string]: unknown;
    }[];
    lease: Lease | null;
  }
  interface Leader {
    leader_id: string; hostname: string; api_url: string; term: number;
    lease_expires_at: number | null;
  }
  interface ClusterHealth {
    status: string; clustering: 'enabled' | 'disabled'; [key: string]: unknown;
  }

  /** Base of every error of a call. */
  class ClientError extends Error {
    readonly code: string;
    /** As the cluster sent it; null when there is nothing more to say. */
    readonly details: unknown;
    /** Null when no controller answered, as is `requestId`. */
    readonly status: number | null;
    readonly requestId: string | null;
  }
  /** The cluster answered with an error, and asking again would not help. */
  class ApiError extends ClientError {}
  /** The request is refused as it is; `details` names the faulty fields. */
  class InvalidRequest extends ApiError {}
  /** No token, a wrong one, or one that does not allow this. */
  class Forbidden extends ApiError {}
  /** There is no such app. */
  class NotFound extends ApiError {}
  /** A duplicate, or another change under way. */
  class Conflict extends ApiError {}
  /** Too many requests for the time that the call may take. */
  class RateLimited extends ApiError {
    readonly retryAfterS: number | null;
  }
  /** Time ran out; the operation may have been carried out, or still goes on. */
  class TimedOut extends ClientError {}
  /** No controller could be reached; nothing was carried out. */
  class NotReachable extends ClientError {}
  /** Controllers answer, but they have no leader that could write. */
  class NoLeader extends ClientError {}
}

export = Orchestry;
