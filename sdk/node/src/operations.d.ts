import type * as Once from './runs';

type Write = Once.Write;
type Json = Record<string, unknown>;

export interface RegistryChanged { message: string; host: string }
export interface Registry {
  host: string; username: string | null; version: number; key: string; updated_at: string;
}
export interface Token {
  id: string; name: string; role: 'viewer' | 'deployer' | 'admin'; [key: string]: unknown;
}
export interface ReleaseWrite extends Write { dryRun?: boolean; keepData?: boolean }
export interface ReleaseApply extends ReleaseWrite { values?: Json; only?: 'install' | 'upgrade' }

/** Calls with the names and the meaning of those of the Python client. */
export interface Operations {
  runApp(appName: string, command: string[], options?: Once.Options): Promise<Once.Requested>;
  listRuns(appName: string): Promise<Once.Runs>;
  getRun(appName: string, run: number): Promise<Once.Run>;
  listJobs(): Promise<{ jobs: Once.Job[]; total: number }>;
  getJob(name: string): Promise<Once.Job>;
  triggerJob(name: string, options?: Once.Write): Promise<Once.Requested>;
  suspendJob(name: string, options?: Once.Write): Promise<Once.Steered>;
  resumeJob(name: string, options?: Once.Write): Promise<Once.Steered>;
  cancelRun(appName: string, run: number, options?: Once.Write): Promise<Once.Requested>;

  setRegistryLogin(
    host: string, username: string, password: string, options?: Write,
  ): Promise<{ message: string; host: string; version: number }>;
  listRegistries(): Promise<{ registries: Registry[]; total: number }>;
  deleteRegistryLogin(host: string, options?: Write):
    Promise<RegistryChanged>;
  rotateRegistryLogin(host: string, options?: Write):
    Promise<RegistryChanged>;

  getScalingDecisions(appName: string, options?: {
    limit?: number; since?: string; until?: string; changes?: boolean;
  }): Promise<Json>;
  simulateScaling(appName: string, policy?: Json, options?: {
    since?: string; samples?: readonly Json[]; replicas?: number;
  }): Promise<Json>;

  listReleases(): Promise<Json>;
  getRelease(name: string): Promise<Json>;
  getReleaseRevision(name: string, revision: number, options?: { against?: number }):
    Promise<Json>;
  applyRelease(
    name: string, chart: string, chartVersion: string, specs: readonly object[],
    options?: ReleaseApply,
  ): Promise<Json>;
  rollbackRelease(name: string, options?: ReleaseWrite & { revision?: number }): Promise<Json>;
  uninstallRelease(name: string, options?: Write & { force?: boolean; keepData?: boolean }):
    Promise<Json>;

  clusterMembers(): Promise<Json>;
  addMember(nodeId: string, raftAddress: string, options?: Write): Promise<Json>;
  removeMember(nodeId: string, options?: Write): Promise<Json>;
  transferLeadership(options?: Write & { to?: string }): Promise<Json>;
  beginDrill(
    fault: 'leader-kill' | 'partition' | 'db-down',
    options: Write & { term: number; seconds?: number },
  ): Promise<Json>;
  probeDrill(options?: Write): Promise<Json>;
  clusterActions(options?: { after?: number; limit?: number }): Promise<Json>;
  clusterContainers(): Promise<Json>;
  restorePart(restoreId: string, part: object, options?: Write & { adopt?: boolean }):
    Promise<Json>;

  createToken(
    name: string, role: Token['role'],
    options?: Write & { apps?: string; expiresIn?: string },
  ): Promise<Token & { token: string | null }>;
  listTokens(): Promise<{ tokens: Token[]; [key: string]: unknown }>;
  revokeToken(tokenId: string, options?: Write): Promise<Json>;
  getAudit(options?: { since?: string; limit?: number; before?: number }): Promise<Json>;
}
