'use strict';

const { app, job, part, registry } = require('./paths.js');

/**
 * The calls about what runs once, registries, releases, members and access; they have the names
 * and the meaning of those of the Python client. `read` and `write` take the client first.
 */
function operations(read, write) {
  return {
    // Runs and jobs: the calls of these names in the Python client

    async runApp(appName, command, { timeout, idempotencyKey: key } = {}) {
      return write(this, 'POST', app(appName, '/run'), { command, timeout_s: timeout }, { key });
    },
    async listRuns(appName) { return read(this, app(appName, '/runs')); },
    async getRun(appName, run) { return read(this, app(appName, `/runs/${Number(run)}`)); },
    async cancelRun(appName, run, { idempotencyKey: key } = {}) {
      return write(this, 'POST', app(appName, `/runs/${Number(run)}/cancel`), undefined, { key });
    },
    async listJobs() { return read(this, '/api/v1/jobs'); },
    async getJob(name) { return read(this, job(name)); },
    async triggerJob(name, { idempotencyKey: key } = {}) {
      return write(this, 'POST', job(name, '/trigger'), undefined, { key });
    },
    async suspendJob(name, { idempotencyKey: key } = {}) {
      return write(this, 'POST', job(name, '/suspend'), undefined, { key });
    },
    async resumeJob(name, { idempotencyKey: key } = {}) {
      return write(this, 'POST', job(name, '/resume'), undefined, { key });
    },

    // Logins of registries such as `registry.example:5000`; no password is read back

    async setRegistryLogin(host, username, password, { idempotencyKey: key } = {}) {
      return write(this, 'PUT', registry(host), { username, password }, { key });
    },
    async listRegistries() { return read(this, '/api/v1/registries'); },
    async deleteRegistryLogin(host, { idempotencyKey: key } = {}) {
      return write(this, 'DELETE', registry(host), undefined, { key });
    },
    async rotateRegistryLogin(host, { idempotencyKey: key } = {}) {
      return write(this, 'POST', registry(host, '/rotate'), undefined, { key });
    },

    // The autoscaler: why it decided, and what another policy would have done

    async getScalingDecisions(appName, { limit, since, until, changes } = {}) {
      return read(this, app(appName, '/scaling/decisions'), {
        limit, since, until, changes: changes || undefined,
      });
    },
    async simulateScaling(appName, policy = {}, { since, samples, replicas } = {}) {
      return write(this, 'POST', app(appName, '/scaling/simulate'), {
        policy, since, samples, replicas,
      });
    },

    // Releases of charts

    async listReleases() { return read(this, '/api/v1/releases'); },
    async getRelease(name) { return read(this, release(name)); },
    async getReleaseRevision(name, revision, { against } = {}) {
      return read(this, release(name, `/revisions/${Number(revision)}`), { against });
    },
    async applyRelease(name, chart, chartVersion, specs, options = {}) {
      const {
        values = {}, only, dryRun = false, keepData = false, idempotencyKey: key,
      } = options;
      const body = { chart, chart_version: chartVersion, values, specs };
      const query = { dry_run: dryRun, keep_data: keepData, only };
      return write(this, 'PUT', release(name), body, { query, key });
    },
    async rollbackRelease(name, options = {}) {
      const { revision, dryRun = false, keepData = false, idempotencyKey: key } = options;
      const query = { dry_run: dryRun, keep_data: keepData };
      return write(this, 'POST', release(name, '/rollback'), { revision }, { query, key });
    },
    async uninstallRelease(name, { force = false, keepData = false, idempotencyKey: key } = {}) {
      const query = { force, keep_data: keepData };
      return write(this, 'DELETE', release(name), undefined, { query, key });
    },

    // Members, drills, the record of what was done, backups

    async clusterMembers() { return read(this, '/cluster/members'); },
    async addMember(nodeId, raftAddress, { idempotencyKey: key } = {}) {
      const body = { node_id: nodeId, raft_address: raftAddress };
      return write(this, 'POST', '/cluster/members', body, { key });
    },
    async removeMember(nodeId, { idempotencyKey: key } = {}) {
      const path = `/cluster/members/${part(nodeId, 'node_id', 'give the id of a controller')}`;
      return write(this, 'DELETE', path, undefined, { key });
    },
    async transferLeadership({ to, idempotencyKey: key } = {}) {
      return write(this, 'POST', '/cluster/transfer', { to }, { key, once: true });
    },
    async beginDrill(fault, { term, seconds = 10, idempotencyKey: key } = {}) {
      return write(this, 'POST', '/cluster/drill', { fault, term, seconds }, { key, once: true });
    },
    async probeDrill({ idempotencyKey: key } = {}) {
      return write(this, 'POST', '/cluster/drill/probe', undefined, { key });
    },
    async clusterActions({ after = 0, limit = 1000 } = {}) {
      return read(this, '/cluster/actions', { after, limit });
    },
    async clusterContainers() { return read(this, '/cluster/containers'); },
    async restorePart(restoreId, restored, { adopt = false, idempotencyKey: key } = {}) {
      const body = { restore_id: restoreId, adopt, part: restored };
      return write(this, 'POST', '/cluster/restore', body, { key });
    },

    // Access

    async createToken(name, role, { apps, expiresIn, idempotencyKey: key } = {}) {
      const body = { name, role, apps, expires_in: expiresIn };
      return write(this, 'POST', '/api/v1/tokens', body, { key, once: true });
    },
    async listTokens() { return read(this, '/api/v1/tokens'); },
    async revokeToken(tokenId, { idempotencyKey: key } = {}) {
      const path = `/api/v1/tokens/${part(tokenId, 'token_id', 'give the id of a token')}`;
      return write(this, 'DELETE', path, undefined, { key });
    },
    async getAudit({ since, limit, before } = {}) {
      return read(this, '/api/v1/audit', { since, limit, before });
    },
  };
}

function release(name, rest = '') {
  return `/api/v1/releases/${part(name, 'release', 'give the name of a release')}${rest}`;
}

module.exports = { operations };
