/** Answers about config. Written by tools/gen_node_answers.py; do not edit. */

/** The controller that answers. */
export interface ControllerConfig {
  host: string; port: number; workers: number; log_level: 'debug' | 'info' | 'warning' | 'error';
}

/** PostgreSQL; null without. The password is masked. */
export interface DatabaseConfig {
  host: string | null; port: number | null; name: string | null; password: string | null;
  pool_size: number;
}

/** The autoscaler; seconds. */
export interface ScalingConfig {
  default_check_interval: number; default_cooldown: number; max_concurrent_scales: number;
}

/** Health checks of specs that do not say otherwise; seconds. */
export interface HealthConfig {
  default_check_interval: number; default_timeout: number; default_failure_threshold: number;
}

/** Where applications are served. */
export interface IngressConfig {
  domain: string; port: number;
}

/** Requests of one client, 0 is no limit; images and hosts that applications may have. */
export interface LimitsConfig {
  per_hour: number; per_minute: number; trusted_proxies: string[]; images: string[];
  reserved_hosts: string[];
}

/** Pulls of images; seconds. */
export interface ImagesConfig {
  max_pulls: number; pull_idle_timeout: number; pull_timeout: number; keep_revisions: number;
}

/** Commands in containers; seconds. */
export interface ExecConfig {
  enabled: boolean; max_sessions: number; idle_timeout: number;
}

/** How long the history is kept. */
export interface RetentionConfig {
  raw_hours: number; minute_days: number; hour_days: number; events_days: number;
}

/** Every key with its value; `sources` says by path where it comes from. */
export interface Configuration {
  version: string; node_id: string; controller: ControllerConfig; database: DatabaseConfig;
  scaling: ScalingConfig; health: HealthConfig; ingress: IngressConfig; limits: LimitsConfig;
  images: ImagesConfig; exec: ExecConfig; retention: RetentionConfig;
  sources: Record<string, 'cluster' | 'environment' | 'file' | 'default'>;
  restart_required: string[];
}

/** The keys that were named, by group, after and before. */
export interface ConfigurationUpdated {
  message: string; changed: Record<string, Record<string, unknown>>;
  previous: Record<string, Record<string, unknown>>; restart_required: string[];
}

/** One replica, checked now. */
export interface CheckResult {
  id: string; name: string; container_name: string; ok: boolean;
  health: 'starting' | 'healthy' | 'unhealthy'; last_error: string | null;
  last_check: string | null; consecutive_failures: number | null; response_time_ms: number | null;
}

/** What the checks of all replicas said. */
export interface HealthChecked {
  message: string; app_name: string; containers_checked: number; healthy: number;
  unhealthy: number; results: CheckResult[];
}
