/** Answers about volumes. Written by tools/gen_node_answers.py; do not edit. */

/** One volume; `orphaned` when its application is deleted, `removing` while it goes. */
export interface Volume {
  name: string; app: string; in_use: boolean; used_by: string[]; orphaned: boolean;
  goes_with_app: boolean; removing: boolean; created_at: string; size_bytes: number | null;
}

/** The volumes that the caller may see, by name. */
export interface Volumes {
  volumes: Volume[]; total: number;
}

/** A volume that is gone, with all that was in it. */
export interface VolumeRemoved {
  message: string; name: string; app: string;
}
