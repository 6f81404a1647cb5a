/** Answers about apps. Written by tools/gen_node_answers.py; do not edit. */

/** An application is registered. */
export interface Registered {
  message: string; app_name: string; status: 'registered'; revision: number;
}

/** An application runs, or begins to; `warning` when the autoscaler will change the number. */
export interface Started {
  message: string; app_name: string; replicas: number;
  status: 'registered' | 'starting' | 'running' | 'updating' | 'stopping' | 'stopped' | 'error';
  warning: string | null;
}

/** An application is stopped. */
export interface Stopped {
  message: string; app_name: string; status: 'stopped';
}

/** An application has its number of replicas, or gets it. */
export interface Scaled {
  message: string; app_name: string; previous_replicas: number; current_replicas: number;
  desired_replicas: number; scaling_time: number; warning: string | null;
}

/** An application is gone, with these volumes; of many, not all are named. */
export interface Removed {
  message: string; app_name: string; containers_removed: number; volumes_removed: number;
  removed_volumes: string[];
}

/** Replicas that are there, wanted and healthy. */
export interface ReplicaCounts {
  current: number; desired: number; healthy: number;
}

/** The newest measurements; null where nothing was measured lately. */
export interface Measured {
  cpu_percent: number | null; memory_percent: number | null; rps: number | null;
  latency_p95_ms: number | null; active_connections: number | null; memory_bytes?: number | null;
  latency_p50_ms?: number | null; latency_p99_ms?: number | null;
  errors_per_second?: number | null; bytes_per_second?: number | null;
  measured_at?: string | null;
}

/** One replica; `name` is its place (shop-1), `container_name` the engine's name. */
export interface Container {
  id: string; name: string; container_name: string; ip: string; port: number;
  status: 'created' | 'running' | 'exited'; health: 'starting' | 'healthy' | 'unhealthy';
  started_at: string | null; slot: number; revision: number; restarts: number;
  last_error: string | null;
  state: 'created' | 'running' | 'exited' | 'waiting' | 'crash_loop' | 'finished' | 'failed';
  next_attempt_at: string | null;
}

/** How a replica last ended; `exit_code` is null where its checks were the reason. */
export interface LastExit {
  reason: 'exited' | 'oom_killed' | 'unhealthy'; exit_code: number | null; signal: string | null;
  container_id: string; at: string | null;
}

/** What the place of one replica has been through; `over` when it is not started again. */
export interface ReplicaRestarts {
  name: string; slot: number; revision: number; failures: number; failures_in_a_row: number;
  oom_kills: number; crash_loop: boolean; over: 'finished' | 'failed' | null;
  next_attempt_at: string | null; last_exit: LastExit | null;
}

/** Failures of all replicas since registration, and those that have something to tell. */
export interface Restarts {
  failures: number; oom_kills: number; replicas: ReplicaRestarts[];
}

/** Why an application is not as it should be. */
export interface Problem {
  code: string; message: string;
}

/** A pull that an application waits for; bytes of the layers that are known so far. */
export interface Pulling {
  image: string; began_at: string; done_bytes: number; total_bytes: number;
}

/** The deployment that is under way; `available` new replicas have proved themselves. */
export interface UnderWay {
  id: number; kind: 'update' | 'rollback' | 'restart';
  phase: 'running' | 'paused' | 'failed' | 'done' | 'superseded' | 'stopped'; wanted: number;
  available: number;
}

/** One application. */
export interface AppStatus {
  name: string; kind: 'App' | 'Job';
  status: 'registered' | 'starting' | 'running' | 'updating' | 'stopping' | 'stopped' | 'error';
  replicas: ReplicaCounts; metrics: Measured; created_at: string; updated_at: string;
  last_scaled_at: string | null; containers: Container[]; revision: number; image: string;
  pinned: string | null; pulling: Pulling | null; problem: Problem | null;
  deployment: UnderWay | null; restarts: Restarts;
}

/** One application in a list. */
export interface AppRow {
  name: string; kind: 'App' | 'Job';
  status: 'registered' | 'starting' | 'running' | 'updating' | 'stopping' | 'stopped' | 'error';
  replicas: ReplicaCounts; image: string; created_at: string; revision: number;
}

/** All applications, and how many are in each status; `format=summary` leaves out `apps`. */
export interface AppList {
  apps: AppRow[]; total: number; registered: number; starting: number; running: number;
  updating: number; stopping: number; stopped: number; error: number;
}

/** The health of one replica; null where only the leader knows. */
export interface ContainerHealth {
  id: string; name: string; container_name: string; health: 'starting' | 'healthy' | 'unhealthy';
  last_check: string | null; consecutive_failures: number | null; response_time_ms: number | null;
  last_error: string | null;
}

/** How the replicas are checked; `path` is null for TCP. */
export interface HealthCheckConfig {
  path: string | null; port: number; protocol: 'HTTP' | 'TCP'; period_seconds: number;
  timeout_seconds: number; failure_threshold: number; success_threshold: number;
  initial_delay_seconds: number;
}

/** The health of one application. */
export interface AppHealth {
  app_name: string; overall_health: 'healthy' | 'degraded' | 'unhealthy' | 'starting' | 'stopped';
  healthy_replicas: number; total_replicas: number; containers: ContainerHealth[];
  health_check_config: HealthCheckConfig;
}

/** Something that happened; `id` grows. `app_name` is null for the cluster itself. */
export interface Event {
  id: number; type: 'scaling' | 'health' | 'config' | 'error' | 'cluster';
  app_name: string | null; message: string; timestamp: string; details: Record<string, unknown>;
}

/** Events, newest first; `complete` is false where older ones may be missing. */
export interface Events {
  events: Event[]; total: number; has_more: boolean; complete: boolean;
}

/** Events of one application, newest first. */
export interface AppEvents {
  events: Event[]; total: number; has_more: boolean; complete: boolean; app_name: string;
}

/** One line of a container; `level` is read from the line, else INFO. */
export interface LogEntry {
  timestamp: string | null; container: string; level: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  message: string; stream: 'stdout' | 'stderr'; truncated: boolean;
}

/** A replica whose lines are missing, and why. */
export interface UnreadContainer {
  container: string; reason: string;
}

/** Lines of an application's containers. */
export interface Logs {
  app_name: string; logs: LogEntry[]; total_lines: number; has_more: boolean;
  unavailable: UnreadContainer[];
}

/** As `AppList`, without `apps`. */
export interface AppTotals {
  total: number; registered: number; starting: number; running: number; updating: number;
  stopping: number; stopped: number; error: number;
}
