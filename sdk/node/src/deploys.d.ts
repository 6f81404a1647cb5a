/** Types of deployments; see ../index.d.ts. */

export type Phase = 'running' | 'paused' | 'failed' | 'done' | 'superseded' | 'stopped';
/** `weight` percent of the requests go to the new revision; one step more is the rest. */
export interface CanaryAt {
  step: number; steps: number; weight: number;
  held_seconds: number; pause_seconds: number;
  waits_for: 'replicas' | 'time' | 'promotion' | 'measurements' | null;
}
/** Requests at the ingresses; null where it is not known. */
export interface Measured {
  seconds: number; requests: number; failed: number;
  retried: number | null; p95_ms: number | null;
}
/** What users saw; null is what could not be measured. */
export interface Receipt {
  before: Measured | null; during: Measured | null; after: Measured | null; complete: boolean;
}
export interface Deployment {
  id: number;
  app_name: string;
  kind: 'update' | 'rollback' | 'restart';
  phase: Phase;
  revision: number; previous_revision: number;
  started_at: string; changed_at: string; ended_at: string | null;
  wanted: number; available: number;
  reason: string | null;
  canary: CanaryAt | null;
  receipt: Receipt | null;
  steps: { timestamp: string; message: string }[];
}
export interface DeploymentDetail extends Deployment {
  replicas: {
    name: string; revision: number; role: 'new' | 'old' | 'leaving'; status: string;
    health: string; reason: string | null;
  }[];
  pinned: string | null; pulling: Pulling | null; problem: string | null;
}
/** A pull that an app waits for. */
export interface Pulling {
  image: string; began_at: string; done_bytes: number; total_bytes: number;
}
export interface Deployments { app_name: string; deployments: Deployment[]; total: number }
