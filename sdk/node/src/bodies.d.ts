/** What calls send. Written by tools/gen_node_answers.py; do not edit. */
import type { JobSpec } from './answers/jobs.js';
import type { AppSpec } from './answers/spec.js';

export interface ConfigChangesController {
  log_level?: 'debug' | 'info' | 'warning' | 'error' | null;
}

export interface ConfigChangesDatabase {
  pool_size?: number | null;
}

export interface ConfigChangesScaling {
  default_check_interval?: number | null; default_cooldown?: number | null;
  max_concurrent_scales?: number | null;
}

export interface ConfigChangesHealth {
  default_check_interval?: number | null; default_timeout?: number | null;
  default_failure_threshold?: number | null;
}

export interface ConfigChangesIngress {
  domain?: string | null;
}

export interface ConfigChangesLimits {
  per_hour?: number | null; per_minute?: number | null; trusted_proxies?: string[] | null;
  images?: string[] | null; reserved_hosts?: string[] | null;
}

export interface ConfigChangesImages {
  max_pulls?: number | null; pull_idle_timeout?: number | null; pull_timeout?: number | null;
  keep_revisions?: number | null;
}

export interface ConfigChangesExec {
  enabled?: boolean | null; max_sessions?: number | null; idle_timeout?: number | null;
}

export interface ConfigChangesRetention {
  raw_hours?: number | null; minute_days?: number | null; hour_days?: number | null;
  events_days?: number | null;
}

/** Groups of keys of the configuration, each with its new value, or null to take it back. */
export interface ConfigChanges {
  controller?: ConfigChangesController; database?: ConfigChangesDatabase;
  scaling?: ConfigChangesScaling; health?: ConfigChangesHealth; ingress?: ConfigChangesIngress;
  limits?: ConfigChangesLimits; images?: ConfigChangesImages; exec?: ConfigChangesExec;
  retention?: ConfigChangesRetention;
}

/** Let the leader fail on purpose; it ends by itself. */
export interface DrillBody {
  fault: 'leader-kill' | 'partition' | 'db-down'; term: number; seconds?: number;
}

/** A controller that is to vote. */
export interface MemberBody {
  node_id: string; raft_address: string;
}

export interface PolicyChangesSchedule {
  cron: string; timezone: string; min_replicas: number; max_replicas: number;
  duration_seconds: number;
}

/** Keys of the scaling policy; what is not named stays as it is. */
export interface PolicyChanges {
  mode?: 'auto' | 'manual'; min_replicas?: number; max_replicas?: number;
  target_rps_per_replica?: number; max_p95_latency_ms?: number; max_cpu_percent?: number;
  max_memory_percent?: number; max_conn_per_replica?: number;
  metrics?: ('cpu' | 'memory' | 'rps' | 'latency' | 'connections')[];
  scale_out_threshold_pct?: number; scale_in_threshold_pct?: number; window_seconds?: number;
  cooldown_seconds?: number; max_scale_out_step?: number; max_scale_in_step?: number;
  stabilization_window_seconds?: number; schedule?: PolicyChangesSchedule[];
}

/** How far to go on; the key is optional. */
export interface PromoteBody {
  all?: boolean;
}

/** How the registry knows the cluster. */
export interface RegistryBody {
  username: string; password: string;
}

/** What a chart rendered. */
export interface ReleaseBody {
  chart: string; chart_version: string; values?: Record<string, unknown>;
  specs: (AppSpec | JobSpec)[];
}

/** Where a release goes back to. */
export interface ReleaseRollbackBody {
  revision?: number | null;
}

/** Where to go back to; the key is optional. */
export interface RollbackBody {
  revision?: number | null;
}

/** What is run once. */
export interface RunBody {
  command: string[]; timeout_s?: number;
}

/** What was measured at one moment, as in the history of `GET .../metrics`. */
export interface Sample {
  timestamp: string | number; total_replicas?: number; cpu_percent?: number | null;
  memory_percent?: number | null; rps?: number | null; latency_p95_ms?: number | null;
  active_connections?: number | null;
}

/** Scale an application. */
export interface ScaleBody {
  replicas: number; wait?: boolean; timeout?: number;
}

/** The next version of a secret, with all its fields: exactly one of the two keys. */
export interface SecretBody {
  value?: string; values?: Record<string, string>;
}

/** Run a policy over what was recorded or given. */
export interface SimulateBody {
  policy?: PolicyChanges; since?: unknown; samples?: Sample[] | null; replicas?: number | null;
}

/** Start an application; every key is optional. */
export interface StartBody {
  replicas?: number | null; wait?: boolean; timeout?: number;
}

/** Stop an application; every key is optional. */
export interface StopBody {
  force?: boolean; timeout?: number | null;
}

/** A token that is to be made; one of an admin is good for all applications. */
export interface TokenBody {
  name: string; role: 'viewer' | 'deployer' | 'admin'; apps?: string | null;
  expires_in?: string | null;
}

/** Hand leadership over; the key is optional. */
export interface TransferBody {
  to?: string | null;
}
