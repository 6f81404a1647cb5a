/** Answers about secrets. Written by tools/gen_node_answers.py; do not edit. */

/** What is known of a secret; `key` is the id of the key that its present version has. */
export interface Secret {
  name: string; version: number; fields: string[]; key: string; used_by: string[];
  created_at: string; updated_at: string;
}

/** All secrets that the caller may use, by name. */
export interface Secrets {
  secrets: Secret[]; total: number;
}

/** A new version; `apps_restarted` of the applications that use it get new replicas. */
export interface SecretSet {
  message: string; name: string; version: number; apps_restarted: number; warning: string | null;
}

/** A secret that is gone; so many applications still name it. */
export interface SecretRemoved {
  message: string; name: string; used_by: number;
}

/** A secret, all versions of which are sealed under the first key now. */
export interface SecretRotated {
  message: string; name: string; key: string; warning: string | null;
}
