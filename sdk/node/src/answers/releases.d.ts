/** Answers about releases. Written by tools/gen_node_answers.py; do not edit. */

/** What a change of a release means for one application. */
export interface ReleaseChange {
  app: string; change: 'created' | 'updated' | 'unchanged' | 'removed'; diff: string[];
}

/** A release has another revision; with `dry_run` it would have. */
export interface ReleaseApplied {
  message: string; release: string; revision: number; dry_run: boolean; changes: ReleaseChange[];
}

/** A release in short. */
export interface ReleaseSummary {
  release: string; revision: number; chart: string; chart_version: string; updated_at: string;
  apps: string[];
}

/** All releases by name. */
export interface Releases {
  releases: ReleaseSummary[]; total: number;
}

/** A revision in short. */
export interface ReleaseRevision {
  revision: number; chart: string; chart_version: string; updated_at: string; note: string;
  apps: string[];
}

/** How an application of a release does; `missing` when it was removed by itself. */
export interface ReleaseAppStatus {
  app: string;
  status: 'registered'
    | 'starting'
    | 'running'
    | 'updating'
    | 'stopping'
    | 'stopped'
    | 'error'
    | 'missing';
  replicas: number; healthy: number;
}

/** A release with what is kept of its past, oldest first. */
export interface Release {
  release: string; revision: number; chart: string; chart_version: string; updated_at: string;
  apps: string[]; values: Record<string, unknown> | null; status: ReleaseAppStatus[];
  revisions: ReleaseRevision[];
}

/** A revision, and how it differs from `against`, 0 for none. */
export interface ReleaseRevisionFull {
  revision: number; chart: string; chart_version: string; updated_at: string; note: string;
  apps: string[]; release: string; values: Record<string, unknown> | null;
  specs: (Record<string, unknown>)[]; against: number; changes: ReleaseChange[];
}

/** A release was uninstalled; its applications drain and go. */
export interface ReleaseGone {
  message: string; release: string; apps: string[];
}
