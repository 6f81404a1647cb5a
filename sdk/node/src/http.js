'use strict';

const http = require('node:http');
const https = require('node:https');

const { accepts } = require('./websocket.js');

const CONNECT_TIMEOUT_S = 3;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Kept connections to one controller that nobody uses at the moment. */
const FREE_SOCKETS_MAX = 16;
const SSE = 'text/event-stream';
const SWITCHING_PROTOCOLS = 101;

/** An answer with more than ANSWER_BYTES_MAX. */
class TooLarge extends Error {}

/** Kept connections; an idle one does not keep the process alive. */
class Connections {
  /** @param {{ca?: string | Buffer, cert?: string | Buffer, key?: string | Buffer}} tls */
  constructor(tls = {}) {
    // `localhost` is two addresses, and a controller may listen on one of them only.
    const options = { keepAlive: true, maxFreeSockets: FREE_SOCKETS_MAX, autoSelectFamily: true };
    this.agents = {
      'http:': new http.Agent(options), 'https:': new https.Agent({ ...options, ...tls }),
    };
  }

  close() {
    for (const agent of Object.values(this.agents)) agent.destroy();
  }

  /**
   * One exchange with one node, no redirect followed.
   *
   * @param {URL} url
   * @param {object} options `{method, headers, body, silenceS, leftS, headS, stream, upgrade,
   *   signal}`: `silenceS` bounds a pause of the node, `headS` the wait for the head of its answer
   *   once the request was sent, `leftS` the whole; a stream has only the first two, and a
   *   WebSocket, whose handshake has the key `upgrade`, only the second
   * @returns {Promise<{status: number, headers: object, text: string, stream?: object}>}
   *   `stream` is the open body of a stream that was accepted, of a WebSocket `{socket, head}`
   * @throws {Error} with `sent`: whether the request may have reached the node, and `silent`: whether
   *   it was awaited in vain
   */
  exchange(url, options) {
    return new Promise((resolve, reject) => {
      new Exchange(this.agents[url.protocol], url, options, resolve, reject).begin();
    });
  }
}

class Exchange {
  #sent = false;
  #silent = false;
  #read = false;
  #timers = [];
  #connectTimer = null;
  #headTimer = null;
  #stream = null;
  #request = null;

  constructor(agent, url, options, resolve, reject) {
    this.agent = agent;
    this.url = url;
    this.options = options;
    this.resolve = resolve;
    this.reject = reject;
  }

  begin() {
    const { method, headers, body, silenceS, leftS, headS, signal } = this.options;
    const library = this.url.protocol === 'https:' ? https : http;
    const request = library.request(this.url, { method, headers, agent: this.agent, signal });
    this.#request = request;
    request.on('error', (error) => this.#failed(error));
    request.on('socket', (socket) => this.#connecting(socket));
    request.on('response', (response) => this.#answered(response));
    request.on('upgrade', (...upgraded) => this.#upgraded(...upgraded));
    request.on('timeout', () => this.#late());
    request.on('finish', () => { if (!this.#read) this.#headTimer = this.#after(headS); });
    request.setTimeout(Math.max(1, 1000 * Math.min(silenceS, leftS)));
    this.#after(leftS);
    this.#connectTimer = this.#after(Math.min(CONNECT_TIMEOUT_S, leftS, headS));
    request.end(body);
  }

  #after(delayS) {
    const timer = setTimeout(() => this.#late(), 1000 * delayS);
    this.#timers.push(timer);
    return timer;
  }

  #connecting(socket) {
    const connected = () => {
      this.#sent = true;
      clearTimeout(this.#connectTimer);
    };
    if (!socket.connecting) connected();
    else socket.once(this.url.protocol === 'https:' ? 'secureConnect' : 'connect', connected);
  }

  #late() {
    if (this.#stream) this.#stream.destroy(new Error('the stream was silent for too long'));
    else {
      this.#silent = this.#sent;
      this.#request.destroy(new Error('did not answer in time'));
    }
  }

  #answered(response) {
    this.#read = true;
    clearTimeout(this.#headTimer);
    const { statusCode: status, headers } = response;
    if (this.options.stream && status === 200 && isStream(headers)) {
      this.#clear();
      this.#stream = response;
      this.#request.setTimeout(1000 * this.options.silenceS);
      response.setEncoding('utf8');
      this.resolve({ status, headers, text: '', stream: response });
      return;
    }
    const parts = [];
    let bytes = 0;
    response.on('data', (part) => {
      bytes += part.length;
      if (bytes > ANSWER_BYTES_MAX) this.#request.destroy(new TooLarge());
      else parts.push(part);
    });
    response.on('error', (error) => this.#failed(error));
    response.on('end', () => {
      this.#clear();
      this.resolve({ status, headers, text: Buffer.concat(parts).toString() });
    });
  }

  #upgraded({ statusCode: status, headers }, socket, head) {
    this.#read = true;
    this.#clear();
    socket.setTimeout(0);
    const { upgrade } = this.options;
    if (upgrade && status === SWITCHING_PROTOCOLS && accepts(upgrade, headers)) {
      this.resolve({ status, headers, text: '', stream: { socket, head } });
    } else {
      socket.destroy();
      this.#failed(new Error('answered with another protocol'));
    }
  }

  #failed(error) {
    this.#clear();
    error.sent = this.#sent;
    error.silent = this.#silent;
    this.reject(error);
  }

  #clear() {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

function isStream(headers) {
  return String(headers['content-type'] ?? '').toLowerCase().startsWith(SSE);
}

module.exports = { ANSWER_BYTES_MAX, Connections, SSE, TooLarge };
