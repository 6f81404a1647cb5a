import answers = require('./src/answers/index');
import bodies = require('./src/bodies');
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

  registerApp<const T extends object>(spec: Orchestry.Loaded<T>, options?: Orchestry.WriteOptions):
    Promise<answers.Registered>;
  registerApp(spec: Orchestry.AppSpec | Orchestry.JobSpec, options?: Orchestry.WriteOptions):
    Promise<answers.Registered>;
  startApp(appName: string, options?: Orchestry.StartOptions): Promise<answers.Started>;
  stopApp(appName: string, options?: Orchestry.StopOptions): Promise<answers.Stopped>;
  scaleApp(appName: string, replicas: number, options?: Orchestry.WaitOptions):
    Promise<answers.Scaled>;
  removeApp(appName: string, options?: Orchestry.RemoveOptions): Promise<answers.Removed>;
  getAppStatus(appName: string): Promise<answers.AppStatus>;
  listApps(options: Orchestry.ListOptions & { format: 'summary' }): Promise<answers.AppTotals>;
  listApps(options?: Orchestry.ListOptions): Promise<answers.AppList>;
  getAppSpec(appName: string, options?: { resolved?: boolean }): Promise<answers.AppSpec>;

  /** Give the app of this name this spec, or register it. */
  updateApp<const T extends object>(
    spec: Orchestry.Loaded<T>, options?: Orchestry.WriteOptions & { dryRun?: boolean },
  ): Promise<answers.Updated>;
  updateApp(
    spec: Orchestry.AppSpec | Orchestry.JobSpec,
    options?: Orchestry.WriteOptions & { dryRun?: boolean },
  ): Promise<answers.Updated>;
  listRevisions(appName: string): Promise<answers.Revisions>;
  /** By default to the last revision that was healthy. */
  rollbackApp(appName: string, options?: Orchestry.WriteOptions & { revision?: number }):
    Promise<answers.Revised>;
  restartApp(appName: string, options?: Orchestry.WriteOptions): Promise<answers.Revised>;
  pauseApp(appName: string, options?: Orchestry.WriteOptions): Promise<answers.Steered>;
  resumeApp(appName: string, options?: Orchestry.WriteOptions): Promise<answers.Steered>;
  /** A canary goes on to its next step, with `all` to the end. */
  promoteApp(appName: string, options?: Orchestry.WriteOptions & { all?: boolean }):
    Promise<answers.Steered>;
  listDeployments(appName: string): Promise<answers.Deployments>;
  getDeployment(appName: string, deployment: number): Promise<answers.DeploymentDetail>;

  getAppMetrics(appName: string, options?: Orchestry.MetricsOptions): Promise<answers.AppMetrics>;
  getAppEvents(appName: string, options?: Orchestry.EventsOptions): Promise<answers.AppEvents>;
  getEvents(options?: Orchestry.EventsOptions & { app?: string }): Promise<answers.Events>;
  getAppLogs(appName: string, options?: Orchestry.LogsOptions): Promise<answers.Logs>;

  /** Lines as they are written, until the app is removed; goes on at another controller. */
  streamLogs(appName: string, options?: Orchestry.LogsOptions & Orchestry.StreamOptions):
    AsyncGenerator<answers.LogEntry, void, undefined>;
  /** How a deployment goes, with each replica, until it is over; one that is held is not. */
  streamDeployment(appName: string, deployment: number, options?: Orchestry.StreamOptions):
    AsyncGenerator<answers.DeploymentDetail, void, undefined>;
  /** Each measurement, beginning with the last, until the app is removed. */
  streamMetrics(appName: string, options?: Orchestry.StreamOptions):
    AsyncGenerator<answers.AppMeasured, void, undefined>;
  /** Events after `sinceId`, or from now on, without a gap or a double. */
  streamEvents(options?: Orchestry.StreamEventsOptions):
    AsyncGenerator<answers.Event, void, undefined>;

  /** Run a command in a container, where the cluster allows it; close it after. */
  openExec(appName: string, command: readonly string[], options?: Orchestry.OpenExecOptions):
    Promise<Orchestry.ExecSession>;
  /** The same, and wait for its end. */
  execApp(appName: string, command: readonly string[], options?: Orchestry.ExecOptions):
    Promise<Orchestry.Executed>;

  getScalingPolicy(appName: string): Promise<answers.ScalingPolicy>;
  updateScalingPolicy<const T extends object>(
    appName: string, policy: Orchestry.Loaded<T>, options?: Orchestry.WriteOptions,
  ): Promise<answers.PolicyUpdated>;
  updateScalingPolicy(
    appName: string, policy: Orchestry.PolicyChanges, options?: Orchestry.WriteOptions,
  ): Promise<answers.PolicyUpdated>;
  getHealth(appName: string): Promise<answers.AppHealth>;
  checkHealth(appName: string): Promise<answers.HealthChecked>;

  setSecret(
    name: string, values: string | Record<string, string>, options?: Orchestry.WriteOptions,
  ): Promise<answers.SecretSet>;
  listSecrets(): Promise<answers.Secrets>;
  getSecret(name: string): Promise<answers.Secret>;
  deleteSecret(name: string, options?: Orchestry.WriteOptions & { force?: boolean }):
    Promise<answers.SecretRemoved>;
  rotateSecret(name: string, options?: Orchestry.WriteOptions): Promise<answers.SecretRotated>;

  listVolumes(options?: { app?: string; sizes?: boolean }): Promise<answers.Volumes>;
  removeVolume(name: string, options?: Orchestry.WriteOptions): Promise<answers.VolumeRemoved>;

  systemHealth(): Promise<answers.SystemHealth>;
  systemMetrics(): Promise<answers.SystemMetrics>;
  getConfig(): Promise<answers.Configuration>;
  updateConfig<const T extends object>(changes: Orchestry.Loaded<T>, options?: Orchestry.WriteOptions):
    Promise<answers.ConfigurationUpdated>;
  updateConfig(changes: Orchestry.ConfigChanges, options?: Orchestry.WriteOptions):
    Promise<answers.ConfigurationUpdated>;
  clusterStatus(): Promise<answers.ClusterStatus>;
  clusterLeader(): Promise<answers.Leader>;
  clusterHealth(): Promise<answers.ClusterHealth>;
}

interface Orchestry extends Operations {}

declare namespace Orchestry {
  /** The types of all answers by name, as `Orchestry.Answers.AppStatus`. */
  export import Answers = answers;

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

  interface OpenExecOptions {
    /** The number of a replica; by default the first healthy one. */
    replica?: number;
    stdin?: boolean;
    /** With it the command has a terminal, and stdout and stderr are one. */
    terminal?: { rows: number; columns: number };
  }
  interface ExecOptions {
    replica?: number;
    stdin?: string | Uint8Array;
    /** Seconds to wait for its end; 60 by default. */
    timeout?: number;
    /** Of each stream; 1 MiB by default. */
    outputBytesMax?: number;
  }
  interface Executed {
    app_name: string; replica: string; exit_code: number; stdout: string; stderr: string;
    /** There was more output. */
    truncated: boolean;
    /** What ended the command beside itself, such as the end of its replica. */
    reason: string | null;
  }
  /** A command in a container; it cannot be resumed: TimedOut when its connection is lost. */
  interface ExecSession extends AsyncIterable<ExecOutput> {
    /** Empty before it has begun. */
    readonly replica: string;
    /** Null before it has ended. */
    readonly exitCode: number | null;
    readonly reason: string | null;
    /** What the command wrote next; null when it has ended. */
    read(): Promise<ExecOutput | null>;
    /** Wait until it has begun; the name of its replica. */
    started(): Promise<string>;
    /** Resolves when it is on its way. */
    write(data: string | Uint8Array): Promise<void>;
    closeStdin(): void;
    resize(rows: number, columns: number): void;
    /** A command that has not ended loses its input, and may go on. */
    close(): void;
  }
  interface ExecOutput { stream: 'stdout' | 'stderr'; data: Uint8Array }

  type Status =
    'registered' | 'starting' | 'running' | 'updating' | 'stopping' | 'stopped' | 'error';
  type EventType = 'scaling' | 'health' | 'config' | 'error' | 'cluster';
  type Level = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';

  type AppSpec = answers.AppSpec;
  type JobSpec = answers.JobSpec;
  /**
   * What was loaded from a file: a record whose keys nobody knows, or a document whose `kind` may
   * be any text. What is written down in a program is none, and its keys are checked.
   */
  type Loaded<T> = string extends keyof T ? T
    : T extends { kind: infer K } ? (string extends K ? T : never) : never;
  /** Keys of a policy; the others stay. */
  type PolicyChanges = bodies.PolicyChanges | Partial<answers.Policy>;
  type ConfigChanges = bodies.ConfigChanges;
  /** The types of all bodies by name, as `Orchestry.Bodies.ScaleBody`. */
  export import Bodies = bodies;

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
