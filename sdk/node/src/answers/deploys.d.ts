/** Answers about deploys. Written by tools/gen_node_answers.py; do not edit. */
import type { Pulling } from './apps.js';

/** One value of the spec that differs; null stands for what is not there. */
export interface Change {
  field: string; before: unknown; after: unknown;
}

/** What an update would do; containers by the names of their replicas. */
export interface Plan {
  changes: Change[]; rolls: boolean; start: string[]; stop: string[]; keep: string[];
}

/** An application has this spec; `plan` only for a dry run, which changes nothing. */
export interface Updated {
  message: string; app_name: string; status: 'created' | 'updated' | 'unchanged';
  revision: number; deployment: number | null; dry_run: boolean; plan?: Plan | null;
}

/** An application has another revision. */
export interface Revised {
  message: string; app_name: string; revision: number; deployment: number;
}

/** The deployment that is under way goes on otherwise. */
export interface Steered {
  message: string; app_name: string; deployment: number;
  phase: 'running' | 'paused' | 'failed' | 'done' | 'superseded' | 'stopped';
}

/** A spec that the application has or had; `healthy` says that all its replicas once were. */
export interface Revision {
  revision: number; current: boolean; healthy: boolean; cause: string; created_at: string;
  image: string | null; pinned: string | null; template: number; spec: Record<string, unknown>;
}

/** Newest first. */
export interface Revisions {
  app_name: string; revisions: Revision[]; total: number;
}

/** One thing that a deployment did, and why. */
export interface Note {
  timestamp: string; message: string;
}

/** A replica of the application while a deployment is under way. */
export interface DeployedReplica {
  name: string; revision: number; role: 'new' | 'old' | 'leaving';
  status: 'created' | 'running' | 'exited' | 'missing';
  health: 'starting' | 'healthy' | 'unhealthy'; reason: string | null;
}

/** How far a canary is; `step` counts from 1, one more than `steps` is the rest. */
export interface CanaryAt {
  step: number; steps: number; weight: number; held_seconds: number; pause_seconds: number;
  waits_for: 'replicas' | 'time' | 'promotion' | 'measurements' | null;
}

/** Requests at the ingresses in so many seconds; `failed` were answered with a 5xx. */
export interface Traffic {
  seconds: number; requests: number; failed: number; retried: number | null;
  p95_ms: number | null;
}

/** What users saw; null is what could not be measured, and never 0. */
export interface Receipt {
  before: Traffic | null; during: Traffic | null; after: Traffic | null; complete: boolean;
}

/** How the replicas come to a revision; its id is that revision. */
export interface Deployment {
  id: number; app_name: string; kind: 'update' | 'rollback' | 'restart';
  phase: 'running' | 'paused' | 'failed' | 'done' | 'superseded' | 'stopped'; revision: number;
  previous_revision: number; started_at: string; changed_at: string; ended_at: string | null;
  wanted: number; available: number; reason: string | null; canary: CanaryAt | null;
  receipt: Receipt | null; steps: Note[];
}

/** With its replicas, as long as it is under way. */
export interface DeploymentDetail {
  id: number; app_name: string; kind: 'update' | 'rollback' | 'restart';
  phase: 'running' | 'paused' | 'failed' | 'done' | 'superseded' | 'stopped'; revision: number;
  previous_revision: number; started_at: string; changed_at: string; ended_at: string | null;
  wanted: number; available: number; reason: string | null; canary: CanaryAt | null;
  receipt: Receipt | null; steps: Note[]; replicas: DeployedReplica[]; pinned: string | null;
  pulling: Pulling | null; problem: string | null;
}

/** Newest first. */
export interface Deployments {
  app_name: string; deployments: Deployment[]; total: number;
}
