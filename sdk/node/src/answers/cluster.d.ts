/** Answers about cluster. Written by tools/gen_node_answers.py; do not edit. */

/** One controller as another sees it; `refused` says why its messages are refused. */
export interface Node {
  node_id: string; hostname: string; state: 'leader' | 'follower' | 'candidate' | 'unreachable';
  is_healthy: boolean; last_heartbeat: number | null; api_url: string | null;
  version: string | null; level: number | null; missing_keys: string[]; refused?: string | null;
}

/** The leader's right to act; times are Unix seconds. */
export interface Lease {
  leader_id: string; term: number; acquired_at: number; expires_at: number; renewed_at: number;
  hostname: string; api_url: string | null;
}

/** A node's view of the cluster. */
export interface ClusterStatus {
  node_id: string; hostname: string; state: 'leader' | 'follower' | 'candidate'; term: number;
  is_leader: boolean; leader_id: string | null; cluster_size: number; nodes: Node[];
  lease: Lease | null; cluster_id: string | null; raft_term: number; applied_index: number;
  commit_index: number; has_quorum: boolean; fault: string | null; level: number;
}

/** Who leads, and where; `lease_expires_at` is null until it may act. */
export interface Leader {
  leader_id: string; hostname: string; api_url: string; term: number;
  lease_expires_at: number | null;
}

/** Whether this node is part of a quorum with a leader. */
export interface ClusterHealth {
  status: 'healthy' | 'degraded'; clustering: 'enabled' | 'disabled'; node_id: string;
  state: 'leader' | 'follower' | 'candidate'; is_leader: boolean; leader_id: string | null;
  cluster_size: number; cluster_ready: boolean; timestamp: number; version: string;
  fault: string | null;
}

/** One controller that votes. */
export interface Member {
  node_id: string; raft_address: string; is_leader: boolean; api_url: string | null;
  version: string | null; level: number | null; connected: boolean; refused: string | null;
  joined_index: number; seen: boolean;
}

/** The controllers that vote. */
export interface Members {
  members: Member[]; members_index: number; majority: number; leader_id: string | null;
  level: number;
}

/** The environment that a new controller is started with. */
export interface Join {
  CONTROLLER_NODE_ID: string; CLUSTER_PEERS: string; CLUSTER_JOIN: 'true';
}

/** A controller may vote. */
export interface MemberAdded {
  message: string; node_id: string; raft_address: string; members: string[]; join: Join;
}

/** A controller votes no more. */
export interface MemberRemoved {
  message: string; node_id: string; members: string[];
}

/** Who leads now; `previous_leader` is null when nothing was to be done. */
export interface Transferred {
  message: string; previous_leader: string | null; leader_id: string; transfer_time: number;
}

/** A leader fails on purpose; `seconds` is null when it ends only with its next start. */
export interface DrillBegun {
  message: string; fault: 'leader-kill' | 'partition' | 'db-down'; node_id: string; term: number;
  seconds: number | null;
}

/** An entry that changes nothing is committed, at `index`. */
export interface Probed {
  message: string; index: number;
}

/** A part of a backup is taken; `apps` is a number with the last one, else null. */
export interface Restored {
  message: string; restore_id: string; part: number; parts: number; apps: number | null;
}

/** A page of a controller's record of its side effects, the oldest first. */
export interface Actions {
  node_id: string; records: (Record<string, unknown>)[]; lost: number; more: boolean;
}

/** One container as the engine has it. */
export interface EngineContainer {
  id: string; name: string; app: string; slot: number; revision: number; epoch: number;
  phase: string; started_at_ms: number;
}

/** All containers of the cluster on this node's engine, by start time. */
export interface EngineContainers {
  containers: EngineContainer[];
}

/** One part of a node. */
export interface Component {
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled'; response_time_ms: number | null;
  detail: string | null;
}

/** The history; `events_behind` were not written yet. */
export interface DatabaseComponent {
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled'; response_time_ms: number | null;
  detail: string | null; backend: 'sqlite' | 'postgresql'; events_behind: number;
}

/** The container engine. */
export interface DockerComponent {
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled'; response_time_ms: number | null;
  detail: string | null; containers_running: number;
}

/** The ingresses. */
export interface NginxComponent {
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled'; response_time_ms: number | null;
  detail: string | null; configs_active: number;
}

/** The replicated log. */
export interface RaftComponent {
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled'; response_time_ms: number | null;
  detail: string | null; role: 'leader' | 'follower' | 'candidate'; applied_index: number;
}

/** The certificate of a node; `expires_at` is null without one. */
export interface TlsComponent {
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled'; response_time_ms: number | null;
  detail: string | null; expires_at: string | null;
}

/** The parts of a node. */
export interface Components {
  database: DatabaseComponent; docker: DockerComponent; nginx: NginxComponent;
  raft: RaftComponent; redis: Component; secrets: Component; tls: TlsComponent;
}

/** How many applications there are. */
export interface AppCounts {
  total: number; running: number; stopped: number; error: number;
}

/** The health of a node and its parts. */
export interface SystemHealth {
  status: 'healthy' | 'degraded' | 'unhealthy'; timestamp: string; version: string;
  uptime_seconds: number; components: Components; applications: AppCounts; warnings: string[];
}
