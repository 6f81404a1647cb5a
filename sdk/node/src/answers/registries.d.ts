/** Answers about registries. Written by tools/gen_node_answers.py; do not edit. */

/** A registry that the cluster has a login for; `key` is the id of the key that seals it. */
export interface Registry {
  host: string; username: string | null; version: number; key: string; updated_at: string;
}

/** All logins, by host. */
export interface Registries {
  registries: Registry[]; total: number;
}

/** A login that images are pulled with from now on; see `SecretSet` for `warning`. */
export interface RegistrySet {
  message: string; host: string; version: number; warning: string | null;
}

/** A login that is gone, or sealed under the first key. */
export interface RegistryChanged {
  message: string; host: string;
}
