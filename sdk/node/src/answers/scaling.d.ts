/** Answers about scaling. Written by tools/gen_node_answers.py; do not edit. */

/** Other bounds of the number of replicas for some time. */
export interface ScheduleEntry {
  cron: string; timezone: string; min_replicas: number; max_replicas: number;
  duration_seconds: number;
}

/** What the autoscaler goes by. */
export interface Policy {
  min_replicas: number; max_replicas: number; target_rps_per_replica: number;
  max_p95_latency_ms: number; max_cpu_percent: number; max_memory_percent: number;
  max_conn_per_replica: number; metrics: ('cpu' | 'memory' | 'rps' | 'latency' | 'connections')[];
  scale_out_threshold_pct: number; scale_in_threshold_pct: number; window_seconds: number;
  cooldown_seconds: number; max_scale_out_step: number; max_scale_in_step: number;
  stabilization_window_seconds: number; schedule: ScheduleEntry[];
}

/** A policy with its mode. */
export interface ModePolicy {
  min_replicas: number; max_replicas: number; target_rps_per_replica: number;
  max_p95_latency_ms: number; max_cpu_percent: number; max_memory_percent: number;
  max_conn_per_replica: number; metrics: ('cpu' | 'memory' | 'rps' | 'latency' | 'connections')[];
  scale_out_threshold_pct: number; scale_in_threshold_pct: number; window_seconds: number;
  cooldown_seconds: number; max_scale_out_step: number; max_scale_in_step: number;
  stabilization_window_seconds: number; schedule: ScheduleEntry[]; mode: 'auto' | 'manual';
}

/** The last change of the number of replicas. */
export interface LastScaling {
  timestamp: string; action: 'scale_out' | 'scale_in'; from_replicas: number; to_replicas: number;
  reason: string;
}

/** The policy in force. */
export interface ScalingPolicy {
  app_name: string; mode: 'auto' | 'manual'; policy: Policy;
  last_scaling_event: LastScaling | null;
}

/** A policy before and after. */
export interface PolicyUpdated {
  message: string; app_name: string; previous_policy: ModePolicy; new_policy: ModePolicy;
}

/** One signal at a decision; null where it was not measured or asks for no number. */
export interface Signal {
  signal: string; unit: string; counts: boolean; reading: number | null; target: number;
  factor: number | null; needed_replicas: number | null;
}

/** One look at an application, what came of it, and all that it rests on. */
export interface Decision {
  timestamp: string; action: 'scale_out' | 'scale_in' | 'stay'; from_replicas: number;
  to_replicas: number; healthy_replicas: number;
  reason: 'above_max'
    | 'asleep'
    | 'at_max'
    | 'at_min'
    | 'below_min'
    | 'by_hand'
    | 'cooldown'
    | 'frozen'
    | 'idle'
    | 'latency'
    | 'latency_not_capacity'
    | 'load'
    | 'manual'
    | 'missing'
    | 'none_healthy'
    | 'quiet'
    | 'settling'
    | 'slow'
    | 'stabilising'
    | 'steady'
    | 'wake'
    | 'warming';
  would_be: number;
  would_reason: 'above_max'
    | 'asleep'
    | 'at_max'
    | 'at_min'
    | 'below_min'
    | 'by_hand'
    | 'cooldown'
    | 'frozen'
    | 'idle'
    | 'latency'
    | 'latency_not_capacity'
    | 'load'
    | 'manual'
    | 'missing'
    | 'none_healthy'
    | 'quiet'
    | 'settling'
    | 'slow'
    | 'stabilising'
    | 'steady'
    | 'wake'
    | 'warming';
  min_replicas: number; max_replicas: number; needed_replicas: number | null; signals: Signal[];
  explanation: string;
}

/** Decisions, newest first. */
export interface Decisions {
  app_name: string; decisions: Decision[]; total: number; has_more: boolean;
}

/** A decision that a policy would have made, beside the replicas that there were. */
export interface SimulatedRound {
  timestamp: string; action: 'scale_out' | 'scale_in' | 'stay'; from_replicas: number;
  to_replicas: number; healthy_replicas: number;
  reason: 'above_max'
    | 'asleep'
    | 'at_max'
    | 'at_min'
    | 'below_min'
    | 'by_hand'
    | 'cooldown'
    | 'frozen'
    | 'idle'
    | 'latency'
    | 'latency_not_capacity'
    | 'load'
    | 'manual'
    | 'missing'
    | 'none_healthy'
    | 'quiet'
    | 'settling'
    | 'slow'
    | 'stabilising'
    | 'steady'
    | 'wake'
    | 'warming';
  would_be: number;
  would_reason: 'above_max'
    | 'asleep'
    | 'at_max'
    | 'at_min'
    | 'below_min'
    | 'by_hand'
    | 'cooldown'
    | 'frozen'
    | 'idle'
    | 'latency'
    | 'latency_not_capacity'
    | 'load'
    | 'manual'
    | 'missing'
    | 'none_healthy'
    | 'quiet'
    | 'settling'
    | 'slow'
    | 'stabilising'
    | 'steady'
    | 'wake'
    | 'warming';
  min_replicas: number; max_replicas: number; needed_replicas: number | null; signals: Signal[];
  explanation: string; recorded_replicas: number;
}

/** A simulation in numbers; `turns` counts changes of direction. */
export interface SimulationSummary {
  changes: number; turns: number; least_replicas: number; most_replicas: number;
  mean_replicas: number; last_replicas: number;
}

/** What a policy would have done. */
export interface Simulation {
  app_name: string; policy: ModePolicy; rounds: SimulatedRound[]; summary: SimulationSummary;
}

/** The newest measurements with the replicas that they are of. */
export interface MeasuredNow {
  cpu_percent: number | null; memory_percent: number | null; rps: number | null;
  latency_p95_ms: number | null; active_connections: number | null; memory_bytes?: number | null;
  latency_p50_ms?: number | null; latency_p99_ms?: number | null;
  errors_per_second?: number | null; bytes_per_second?: number | null;
  measured_at?: string | null; healthy_replicas: number; total_replicas: number;
}

/** What one replica used. */
export interface ReplicaLoad {
  name: string; cpu_percent: number | null; cpu_cores: number | null;
  memory_percent: number | null; memory_bytes: number | null;
}

/** One point of the history; null where it was not measured. */
export interface HistoryPoint {
  timestamp: string; cpu_percent: number | null; memory_percent: number | null;
  memory_bytes: number | null; rps: number | null; latency_p50_ms: number | null;
  latency_p95_ms: number | null; latency_p99_ms: number | null; active_connections: number | null;
  errors_per_second: number | null; bytes_per_second: number | null; healthy_replicas: number;
  total_replicas: number;
}

/** Measurements of one application; the history is oldest first. */
export interface AppMetrics {
  app_name: string; timestamp: string; current: MeasuredNow; replicas: ReplicaLoad[];
  history: HistoryPoint[];
}

/** The machine of a controller; null what was not measured yet. */
export interface Host {
  cpu_percent: number | null; memory_used_gb: number; memory_total_gb: number;
  disk_used_gb: number; disk_total_gb: number; containers_running: number | null;
  containers_total: number;
}

/** The machine of one controller; null when it does not answer. */
export interface HostOfNode {
  node_id: string; reachable: boolean; system: Host | null;
}

/** One application in the system metrics; null where nothing was measured lately. */
export interface AppUsage {
  name: string; cpu_percent: number | null; memory_mb: number | null; replicas: number;
  rps: number | null; latency_p95_ms: number | null;
}

/** What the ingresses carried; null where nothing was measured lately. */
export interface Network {
  requests_per_second: number | null; total_requests: number; error_rate_percent: number | null;
  avg_response_time_ms: number | null;
}

/** Host, applications and ingresses; `nodes` only where no `node` was asked for. */
export interface SystemMetrics {
  timestamp: string; node_id: string; system: Host; applications: AppUsage[]; network: Network;
  nodes: HostOfNode[];
}

/** What was measured last, as it is streamed. */
export interface AppMeasured {
  app_name: string; cpu_percent: number | null; memory_percent: number | null; rps: number | null;
  latency_p95_ms: number | null; active_connections: number | null; memory_bytes?: number | null;
  latency_p50_ms?: number | null; latency_p99_ms?: number | null;
  errors_per_second?: number | null; bytes_per_second?: number | null;
  measured_at?: string | null; healthy_replicas: number; total_replicas: number;
}
