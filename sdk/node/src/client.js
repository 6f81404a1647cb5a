'use strict';

const { version } = require('../package.json');
const { invalid } = require('./errors.js');
const exec = require('./exec.js');
const { operations } = require('./operations.js');
const { app, part, secret } = require('./paths.js');
const streams = require('./streams.js');
const { READ_TIMEOUT_S, Transport, encoded } = require('./transport.js');
const { newKey } = require('./websocket.js');

const TIMEOUT_S = 30;
const TIMEOUT_MAX_S = 86_400;
const WAIT_TIMEOUT_S = 300;
/** The controller answers a wait at its timeout; the client listens a little longer. */
const WAIT_MARGIN_S = 15;
/** Draining and grace period are at most 300 s each; controllers allow 30 s more. */
const DRAIN_MAX_S = 300;
const GRACE_MAX_S = 300;
const STOP_MARGIN_S = 30;
const HEALTH_CHECK_MAX_S = 60;
const REMOVE_MAX_S = 30;
const SIZES_MAX_S = 60;
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;
const DEGRADED = [503];

/**
 * A cluster, reached through any of its controllers. Answers are the JSON objects of the REST
 * API; errors are `ClientError` and its kinds. All times are seconds.
 */
class Orchestry {
  #transport;
  #timeoutS;

  static {
    const calls = operations(
      (client, ...rest) => client.#read(...rest), (client, ...rest) => client.#write(...rest));
    for (const [name, value] of Object.entries(calls)) {
      Object.defineProperty(this.prototype, name, { value, writable: true, configurable: true });
    }
  }

  /**
   * @param {string | string[]} url one controller, a load balancer, or all controllers
   * @param {{token?: string, timeout?: number, ca?: string | Buffer, cert?: string | Buffer,
   *   key?: string | Buffer}} [options] `timeout` bounds each call in seconds with all its
   *   tries; a call that waits has its own `timeout` on top. `ca` is PEM with the CAs of the
   *   controllers, else those of Node hold; `cert` and `key` are ours, where they ask for them
   * @throws {TypeError} a malformed address, token or timeout
   */
  constructor(url, { token = null, timeout = TIMEOUT_S, ca, cert, key } = {}) {
    if (token !== null && !(typeof token === 'string' && VISIBLE_ASCII.test(token))) {
      throw new TypeError('token must be visible ASCII characters without spaces');
    }
    if (!(typeof timeout === 'number' && timeout > 0 && timeout <= TIMEOUT_MAX_S)) {
      throw new TypeError(`timeout must be above 0 and at most ${TIMEOUT_MAX_S} seconds`);
    }
    this.#timeoutS = timeout;
    this.#transport = new Transport(
      Array.isArray(url) ? url : [url], token, `orchestry-node/${version}`, { ca, cert, key });
  }

  /** The controllers that this client knows. */
  get urls() {
    return [...this.#transport.members];
  }

  /** Close the kept connections; they do not keep the process alive either. */
  close() {
    this.#transport.close();
  }

  // Applications

  /** Register an app; throws InvalidRequest with every fault, Conflict if it exists. */
  async registerApp(spec, { idempotencyKey } = {}) {
    return this.#write('POST', '/api/v1/apps/register', spec, { key: idempotencyKey });
  }

  /** Start an app and wait up to `timeout` seconds for its replicas; TimedOut: it goes on. */
  async startApp(appName, options = {}) {
    const { replicas, wait = true, timeout = WAIT_TIMEOUT_S, idempotencyKey } = options;
    return this.#write('POST', app(appName, '/start'), { replicas, wait, timeout }, {
      key: idempotencyKey, waitS: wait ? timeout : 0,
    });
  }

  /** Stop an app; `timeout` is the grace period in seconds, `force` kills at once. */
  async stopApp(appName, { force = false, timeout, idempotencyKey } = {}) {
    return this.#write('POST', app(appName, '/stop'), { force, timeout }, {
      key: idempotencyKey, waitS: DRAIN_MAX_S + (timeout ?? GRACE_MAX_S) + STOP_MARGIN_S,
    });
  }

  /** Set the number of replicas and wait up to `timeout` seconds for them. */
  async scaleApp(appName, replicas, options = {}) {
    const { wait = true, timeout = WAIT_TIMEOUT_S, idempotencyKey } = options;
    return this.#write('POST', app(appName, '/scale'), { replicas, wait, timeout }, {
      key: idempotencyKey, waitS: wait ? timeout : 0,
    });
  }

  /** Remove an app: `force` skips draining, `keepData` leaves its volumes. */
  async removeApp(appName, { force = false, keepData = false, idempotencyKey } = {}) {
    return this.#write('DELETE', app(appName), undefined, {
      query: { force, keep_data: keepData }, key: idempotencyKey,
      waitS: DRAIN_MAX_S + GRACE_MAX_S + STOP_MARGIN_S,
    });
  }

  /** Status, replicas and containers of one app. */
  async getAppStatus(appName) { return this.#read(app(appName)); }

  /** All apps, or those with one status; `format: "summary"` gives the counts only. */
  async listApps({ status, format } = {}) {
    return this.#read('/api/v1/apps', { status, format });
  }

  /** The spec as registered; `resolved` fills the defaults in. */
  async getAppSpec(appName, { resolved = false } = {}) {
    return this.#read(app(appName, '/spec'), { resolved: resolved || undefined });
  }

  // Updates

  /**
   * Give the app of this name this spec, or register it; `deployment` of the answer is for
   * `getDeployment`. `dryRun` only tells the plan.
   */
  async updateApp(spec, { dryRun = false, idempotencyKey } = {}) {
    return this.#write('PUT', app(String(spec?.metadata?.name ?? ''), ''), spec, {
      query: { dry_run: dryRun || undefined }, key: idempotencyKey,
    });
  }

  /** The specs that an app has and had, newest first. */
  async listRevisions(appName) { return this.#read(app(appName, '/revisions')); }

  /** Go back to `revision`, by default to the last one that was healthy. */
  async rollbackApp(appName, { revision, idempotencyKey } = {}) {
    return this.#write('POST', app(appName, '/rollback'), { revision }, { key: idempotencyKey });
  }

  /** Replace all replicas by new ones of the same spec, without a gap. */
  async restartApp(appName, { idempotencyKey } = {}) {
    return this.#write('POST', app(appName, '/restart'), undefined, { key: idempotencyKey });
  }

  /** Hold the deployment that is under way; Conflict when none is. */
  async pauseApp(appName, { idempotencyKey } = {}) {
    return this.#write('POST', app(appName, '/pause'), undefined, { key: idempotencyKey });
  }

  /** Let a deployment that is paused or has failed go on. */
  async resumeApp(appName, { idempotencyKey } = {}) {
    return this.#write('POST', app(appName, '/resume'), undefined, { key: idempotencyKey });
  }

  /**
   * Let the deployment that is under way wait for nothing but healthy replicas. A canary goes on
   * to its next step, with `all` to the end.
   */
  async promoteApp(appName, { all = false, idempotencyKey } = {}) {
    const body = all ? { all } : {};
    return this.#write('POST', app(appName, '/promote'), body, { key: idempotencyKey });
  }

  /** The last deployments of an app, newest first. */
  async listDeployments(appName) { return this.#read(app(appName, '/deployments')); }

  /** One deployment: its steps with their reasons, and its replicas. */
  async getDeployment(appName, deployment) {
    return this.#read(app(appName, `/deployments/${Number(deployment)}`));
  }

  // Measurements, events, logs

  /** Current measurements and the last `history` points, means over `interval` if given. */
  async getAppMetrics(appName, { history, interval } = {}) {
    return this.#read(app(appName, '/metrics'), { history, interval });
  }

  /** Events of one app, newest first; `since` is like "1h" or an RFC 3339 time. */
  async getAppEvents(appName, { type, since, limit, before } = {}) {
    return this.#read(app(appName, '/events'), { type, since, limit, before });
  }

  /** Events of the whole cluster, newest first. */
  async getEvents({ app: appName, type, since, limit, before } = {}) {
    return this.#read('/api/v1/events', { app: appName, type, since, limit, before });
  }

  /** The last `tail` lines of an app, or of one `container`; `level` leaves out what is less bad. */
  async getAppLogs(appName, { container, tail, since, level } = {}) {
    return this.#read(app(appName, '/logs'), { container, tail, since, level });
  }

  /**
   * Lines as they are written, by whichever replicas come and go, until the app is removed, or
   * the run of `container` is over; `tail` or `since` also brings lines from before.
   */
  streamLogs(appName, { container, tail, level, since, signal } = {}) {
    const asked = { container, tail, level, since };
    return this.#follow(new streams.LogLines(app(appName, '/logs/stream'), asked), signal);
  }

  /** How a deployment goes, with each replica, until it is over; one that is held is not. */
  streamDeployment(appName, id, { signal } = {}) {
    const path = app(appName, `/deployments/${Number(id)}/stream`);
    return this.#follow(new streams.Measurements(path), signal);
  }

  /** Each measurement, beginning with the last, until the app is removed. */
  streamMetrics(appName, { signal } = {}) {
    return this.#follow(new streams.Measurements(app(appName, '/metrics/stream')), signal);
  }

  /**
   * Events after `sinceId`, or from now on: when a controller is lost the stream resumes at
   * another one, without a gap or a double.
   */
  streamEvents({ sinceId, app: appName, type, signal } = {}) {
    const newest = async () => {
      const { events } = await this.#read('/api/v1/events', { limit: 1 }, [], signal);
      return events[0]?.id ?? 0;
    };
    return this.#follow(new streams.Events({ app: appName, type }, sinceId, newest), signal);
  }

  // Commands in containers

  /**
   * Run a command in a container of an app, where the cluster allows it; close it after.
   * `replica` is the number of one, else a healthy one is taken; `terminal` is `{rows, columns}`.
   * Throws Forbidden where commands are switched off, NotFound, Conflict.
   */
  async openExec(appName, command, { replica, stdin, terminal } = {}) {
    const start = exec.startMessage(command, { stdin, terminal });
    const { stream } = await this.#transport.open({
      path: app(appName, '/exec'), query: { replica }, upgrade: newKey(), ...this.#limits(0),
    });
    return new exec.ExecSession(stream.socket, stream.head, start);
  }

  /**
   * The same, and wait up to `timeout` (60) seconds for its end; its output and exit code. Of
   * what it writes more than `outputBytesMax` to, only the beginning is kept. TimedOut: it has
   * not ended, or the connection is lost, and it may go on.
   */
  async execApp(appName, command, { replica, stdin, timeout, outputBytesMax } = {}) {
    const session = await this.openExec(appName, command, {
      replica, stdin: stdin !== undefined });
    return exec.collect(session, appName, { stdin, timeoutS: timeout, outputBytesMax });
  }

  #follow(source, signal) {
    return streams.follow(this.#transport, source, { timeoutS: this.#timeoutS, signal });
  }

  // Scaling and health

  /** The scaling policy in force and the last change of the number of replicas. */
  async getScalingPolicy(appName) { return this.#read(app(appName, '/scaling')); }

  /** Change the keys that `policy` names, such as `max_replicas`; the others stay. */
  async updateScalingPolicy(appName, policy, { idempotencyKey } = {}) {
    return this.#write('PUT', app(appName, '/scaling'), policy, { key: idempotencyKey });
  }

  /** Health of every replica of one app. */
  async getHealth(appName) { return this.#read(app(appName, '/health')); }

  /** Check every replica now; throws TimedOut when some do not answer. */
  async checkHealth(appName) {
    return this.#write('POST', app(appName, '/health/check'), undefined, {
      waitS: HEALTH_CHECK_MAX_S,
    });
  }

  // Secrets of applications

  /** Keep a new version: one text, or a text for each field; apps that use it are renewed. */
  async setSecret(name, values, { idempotencyKey } = {}) {
    const body = typeof values === 'string' ? { value: values } : { values };
    return this.#write('PUT', secret(name), body, { key: idempotencyKey });
  }

  /** All secrets, with their fields, versions and the apps that use them; no values. */
  async listSecrets() { return this.#read('/api/v1/secrets'); }

  /** One secret, without its values. */
  async getSecret(name) { return this.#read(secret(name)); }

  /** Remove a secret; Conflict while apps use it, except with `force`. */
  async deleteSecret(name, { force = false, idempotencyKey } = {}) {
    return this.#write('DELETE', secret(name), undefined, {
      query: { force }, key: idempotencyKey,
    });
  }

  /** Seal a secret under the first key of the controllers; no app is restarted. */
  async rotateSecret(name, { idempotencyKey } = {}) {
    return this.#write('POST', secret(name, '/rotate'), undefined, { key: idempotencyKey });
  }

  // Volumes

  /** All volumes, also those of deleted apps, or those of one app; `sizes` may take long. */
  async listVolumes({ app: name, sizes } = {}) {
    const path = name === undefined ? '/api/v1/volumes' : app(name, '/volumes');
    return this.#read(path, { sizes }, [], undefined, sizes ? SIZES_MAX_S : 0);
  }

  /** Remove a volume that a deleted app left behind, with all that is in it. */
  async removeVolume(name, { idempotencyKey } = {}) {
    const path = `/api/v1/volumes/${part(name, 'volume_name', 'give the name of a volume')}`;
    return this.#write('DELETE', path, undefined, { key: idempotencyKey, waitS: REMOVE_MAX_S });
  }

  // System and cluster

  /** Health of the answering controller and its components, also when it is degraded. */
  async systemHealth() {
    return this.#read('/health', {}, DEGRADED);
  }

  /** The host, all apps, and what came through the ingresses. */
  async systemMetrics() {
    return this.#read('/api/v1/metrics');
  }

  /** The configuration as it holds on the answering controller, with its sources. */
  async getConfig() {
    return this.#read('/api/v1/config');
  }

  /** Change keys on all controllers; null takes a change back. */
  async updateConfig(changes, { idempotencyKey } = {}) {
    return this.#write('PUT', '/api/v1/config', changes, { key: idempotencyKey });
  }

  /** Members and leadership as the answering controller sees them. */
  async clusterStatus() {
    return this.#read('/cluster/status');
  }

  /** The present leader; throws NoLeader when there is none. */
  async clusterLeader() {
    return this.#read('/cluster/leader');
  }

  /** Whether the answering controller is part of a cluster with a leader. */
  async clusterHealth() {
    return this.#read('/cluster/health', {}, DEGRADED);
  }

  #read(path, query = {}, bodyStatuses = [], signal = undefined, waitS = 0) {
    return this.#transport.send({
      method: 'GET', path, query, bodyStatuses, signal, ...this.#limits(waitS),
    });
  }

  #write(method, path, body, { query = {}, key, waitS = 0, once = false } = {}) {
    if (!Number.isFinite(waitS)) throw invalid('timeout', 'must be a number of seconds');
    return this.#transport.send({
      method, path, query, key, once, body: body === undefined ? undefined : encoded(body),
      ...this.#limits(waitS),
    });
  }

  #limits(waitS) {
    return {
      budgetS: waitS ? waitS + Math.max(this.#timeoutS, WAIT_MARGIN_S) : this.#timeoutS,
      readTimeoutS: waitS ? waitS + WAIT_MARGIN_S : Math.min(READ_TIMEOUT_S, this.#timeoutS),
    };
  }
}

module.exports = { Orchestry };
