/** What runs once. */
export interface Write { idempotencyKey?: string }
export interface Options extends Write { /** Seconds. */ timeout?: number }

export interface Run {
  id: number; app_name: string; kind: 'run' | 'pre' | 'job';
  status: 'waiting' | 'running' | 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'lost';
  stopping: boolean; command: string[] | null; timeout_s: number; revision: number;
  container: string; requested_at: string; started_at: string | null; ended_at: string | null;
  due_at: string | null; attempt: number;
  exit_code: number | null; reason: string | null; last_lines: string[];
}
export interface Runs { app_name: string; runs: Run[]; total: number }
export interface Requested { message: string; app_name: string; run: number }

export interface Job {
  name: string; revision: number; schedule: string | null; timezone: string;
  concurrency_policy: 'Allow' | 'Forbid' | 'Replace'; timeout_s: number; retries: number;
  starting_deadline_s: number; suspended: boolean; last_due_at: string | null; active: number;
  last_status: Run['status'] | null;
}
export interface Steered { message: string; app_name: string; suspended: boolean }
