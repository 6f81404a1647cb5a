import type * as answers from './answers/index';
import type { PolicyChanges, Sample } from './bodies';

interface Write { idempotencyKey?: string }
type Json = Record<string, unknown>;

export interface ReleaseWrite extends Write { dryRun?: boolean; keepData?: boolean }
export interface ReleaseApply extends ReleaseWrite { values?: Json; only?: 'install' | 'upgrade' }

/** Calls with the names and the meaning of those of the Python client. */
export interface Operations {
  runApp(appName: string, command: string[], options?: Write & { timeout?: number }):
    Promise<answers.RunRequested>;
  listRuns(appName: string): Promise<answers.Runs>;
  getRun(appName: string, run: number): Promise<answers.Run>;
  listJobs(): Promise<answers.Jobs>;
  getJob(name: string): Promise<answers.Job>;
  triggerJob(name: string, options?: Write): Promise<answers.RunRequested>;
  suspendJob(name: string, options?: Write): Promise<answers.JobSteered>;
  resumeJob(name: string, options?: Write): Promise<answers.JobSteered>;
  cancelRun(appName: string, run: number, options?: Write): Promise<answers.RunCancelled>;

  setRegistryLogin(
    host: string, username: string, password: string, options?: Write,
  ): Promise<answers.RegistrySet>;
  listRegistries(): Promise<answers.Registries>;
  deleteRegistryLogin(host: string, options?: Write): Promise<answers.RegistryChanged>;
  rotateRegistryLogin(host: string, options?: Write): Promise<answers.RegistryChanged>;

  getScalingDecisions(appName: string, options?: {
    limit?: number; since?: string; until?: string; changes?: boolean;
  }): Promise<answers.Decisions>;
  simulateScaling(appName: string, policy?: PolicyChanges, options?: {
    since?: string; samples?: readonly (Sample | answers.HistoryPoint)[]; replicas?: number;
  }): Promise<answers.Simulation>;

  listReleases(): Promise<answers.Releases>;
  getRelease(name: string): Promise<answers.Release>;
  getReleaseRevision(name: string, revision: number, options?: { against?: number }):
    Promise<answers.ReleaseRevisionFull>;
  applyRelease(
    name: string, chart: string, chartVersion: string, specs: readonly object[],
    options?: ReleaseApply,
  ): Promise<answers.ReleaseApplied>;
  rollbackRelease(name: string, options?: ReleaseWrite & { revision?: number }):
    Promise<answers.ReleaseApplied>;
  uninstallRelease(name: string, options?: Write & { force?: boolean; keepData?: boolean }):
    Promise<answers.ReleaseGone>;

  clusterMembers(): Promise<answers.Members>;
  addMember(nodeId: string, raftAddress: string, options?: Write): Promise<answers.MemberAdded>;
  removeMember(nodeId: string, options?: Write): Promise<answers.MemberRemoved>;
  transferLeadership(options?: Write & { to?: string }): Promise<answers.Transferred>;
  beginDrill(
    fault: 'leader-kill' | 'partition' | 'db-down',
    options: Write & { term: number; seconds?: number },
  ): Promise<answers.DrillBegun>;
  probeDrill(options?: Write): Promise<answers.Probed>;
  clusterActions(options?: { after?: number; limit?: number }): Promise<answers.Actions>;
  clusterContainers(): Promise<answers.EngineContainers>;
  restorePart(restoreId: string, part: object, options?: Write & { adopt?: boolean }):
    Promise<answers.Restored>;

  createToken(
    name: string, role: answers.Token['role'],
    options?: Write & { apps?: string; expiresIn?: string },
  ): Promise<answers.TokenCreated>;
  listTokens(): Promise<answers.Tokens>;
  revokeToken(tokenId: string, options?: Write): Promise<answers.TokenRevoked>;
  getAudit(options?: { since?: string; limit?: number; before?: number }): Promise<answers.Audit>;
}
