/** Answers about runs. Written by tools/gen_node_answers.py; do not edit. */

/** A container that runs once. */
export interface Run {
  id: number; app_name: string; kind: 'run' | 'pre' | 'job';
  status: 'waiting' | 'running' | 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'lost';
  stopping: boolean; command: string[] | null; timeout_s: number; revision: number;
  container: string; requested_at: string; started_at: string | null; ended_at: string | null;
  exit_code: number | null; reason: string | null; due_at: string | null; attempt: number;
  last_lines: string[];
}

/** Newest first. */
export interface Runs {
  app_name: string; runs: Run[]; total: number;
}

/** A run waits for its turn. */
export interface RunRequested {
  message: string; app_name: string; run: number;
}

/** A run is stopped, or does not begin. */
export interface RunCancelled {
  message: string; app_name: string; run: number;
}

/** A job: what runs once, by the clock or by request. */
export interface Job {
  name: string; revision: number; schedule: string | null; timezone: string;
  concurrency_policy: 'Allow' | 'Forbid' | 'Replace'; timeout_s: number; retries: number;
  starting_deadline_s: number; suspended: boolean; last_due_at: string | null; active: number;
  last_status: 'waiting'
    | 'running'
    | 'succeeded'
    | 'failed'
    | 'timed_out'
    | 'cancelled'
    | 'lost'
    | null;
}

/** By name. */
export interface Jobs {
  jobs: Job[]; total: number;
}

/** The schedule of a job holds, or goes on. */
export interface JobSteered {
  message: string; app_name: string; suspended: boolean;
}
