/** Answers about access. Written by tools/gen_node_answers.py; do not edit. */

/** Who may call; the token itself is nowhere kept. */
export interface Token {
  id: string; name: string; role: 'viewer' | 'deployer' | 'admin'; apps: string | null;
  created_at: string | null; created_by: string | null; expires_at: string | null;
  expired: boolean;
}

/** All tokens, the oldest first. */
export interface Tokens {
  tokens: Token[]; total: number;
}

/** A token, shown only now; `token` is null for a repeat. */
export interface TokenCreated {
  id: string; name: string; role: 'viewer' | 'deployer' | 'admin'; apps: string | null;
  created_at: string | null; created_by: string | null; expires_at: string | null;
  expired: boolean; message: string; token: string | null;
}

/** A token that is good for nothing any more. */
export interface TokenRevoked {
  message: string; id: string; name: string;
}

/** A write, or refused writes of one kind; `hash` is over it and `prev`, the one before. */
export interface AuditEntry {
  id: number; timestamp: string; at_ms: number; token: string; name: string; client: string;
  method: string; path: string; app: string; code: string; index: number; count: number;
  prev: string; hash: string;
}

/** A page of the audit, newest first. */
export interface Audit {
  entries: AuditEntry[]; total: number; has_more: boolean; complete: boolean;
}
