/** What runs once. */
export interface Write { idempotencyKey?: string }
export interface Options extends Write { /** Seconds. */ timeout?: number }

export interface Run {
  id: number; app_name: string; kind: 'run' | 'pre' | 'job';
  status: 'waiting' | 'running' | 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'lost';
  stopping: boolean; command: string[] | null; timeout_s: number; revision: number;
  container: string; requested_at: string; started_at: string | null; ended_at: string | null;
  exit_code: number | null; reason: string | null; last_lines: string[];
}
export interface Runs { app_name: string; runs: Run[]; total: number }
export interface Requested { message: string; app_name: string; run: number }
