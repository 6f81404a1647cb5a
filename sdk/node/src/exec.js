'use strict';

/**
 * Commands in containers: sessions over a WebSocket.
 *
 * Source: docs/adr/0037-commands-in-containers.md.
 */

const { ClientError, TimedOut, fromAnswer, invalid } = require('./errors.js');
const ws = require('./websocket.js');

/** Of each stream that `execApp` keeps. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** What is read before somebody asks for it. */
const AHEAD_BYTES_MAX = 1024 * 1024;
const PIECE_BYTES = 32 * 1024;
const HEARTBEAT_S = 20;
/** A controller sends something every 20 s. */
const SILENCE_S = 60;
const CLOSE_S = 1;
const EXEC_S = 60;
const STREAMS = { 1: 'stdout', 2: 'stderr' };
const STATUSES = {
  VALIDATION_ERROR: 400, FORBIDDEN: 403, APP_NOT_FOUND: 404, NOT_FOUND: 404, CONFLICT: 409,
  CLUSTER_NOT_READY: 503, TIMEOUT: 504,
};

/** What a session begins with. */
function startMessage(command, { stdin = false, terminal } = {}) {
  if (!Array.isArray(command) || !command.length
    || !command.every((word) => typeof word === 'string')) {
    throw invalid('command', 'give a program and its arguments as an array of strings');
  }
  return { type: 'start', command, stdin: Boolean(stdin), terminal: terminal ?? null };
}

/**
 * A command in a container, whose connection ends with it. `for await` gives
 * `{stream: 'stdout' | 'stderr', data: Buffer}` as they come; `exitCode` and `reason` are known
 * then. Whoever does not read slows the command down.
 *
 * A session cannot be resumed: when its connection is lost, iterating throws TimedOut with the
 * code SESSION_LOST, since the command may go on. What is written after its end goes nowhere.
 */
class ExecSession {
  #socket;
  #parser = new ws.Parser();
  #read = [];
  #readBytes = 0;
  #waiting = [];
  #over = false;
  #error = null;
  #heardMs = Date.now();
  #timer;

  constructor(socket, head, start) {
    this.replica = '';
    this.exitCode = null;
    this.reason = null;
    this.#socket = socket;
    socket.setNoDelay?.(true);
    socket.on('data', (data) => this.#data(data));
    socket.on('error', (error) => this.#end(lost(error.message)));
    socket.on('close', () => this.#end(lost('the controller is gone')));
    socket.on('end', () => this.#end(lost('the controller is gone')));
    this.#timer = setInterval(() => this.#beat(), 1000 * HEARTBEAT_S);
    this.#timer.unref();
    this.#say(start);
    if (head.length) this.#data(head);
  }

  async* [Symbol.asyncIterator]() {
    for (let found = await this.read(); found !== null; found = await this.read()) yield found;
  }

  /** What the command wrote next; null when it has ended. */
  async read() {
    await this.#until(() => this.#read.length || this.#over);
    const found = this.#read.shift();
    if (found !== undefined) {
      this.#readBytes -= found.data.length;
      if (this.#readBytes < AHEAD_BYTES_MAX && this.#socket.isPaused()) {
        this.#heardMs = Date.now();
        this.#socket.resume();
      }
      return found;
    }
    if (this.#error !== null) throw this.#error;
    return null;
  }

  /** Wait until it has begun; the name of its replica. */
  async started() {
    await this.#until(() => this.replica || this.#over);
    if (!this.replica && this.#error !== null) throw this.#error;
    return this.replica;
  }

  /** Give the command input; resolves when it is on its way. */
  async write(data) {
    const bytes = Buffer.from(data);
    for (let at = 0; at < bytes.length && !this.#over; at += PIECE_BYTES) {
      const piece = Buffer.concat([Buffer.alloc(1), bytes.subarray(at, at + PIECE_BYTES)]);
      if (!this.#socket.write(ws.frame(ws.BINARY, piece))) await this.#drained();
    }
  }

  /** The input has ended; in a terminal as if Ctrl-D was typed. */
  closeStdin() { this.#say({ type: 'eof' }); }

  /** The terminal has this size now. */
  resize(rows, columns) { this.#say({ type: 'resize', terminal: { rows, columns } }); }

  /** Leave: a command that has not ended loses its input, and may go on. */
  close() { this.#end(lost('it was closed')); }

  #say(message) {
    if (!this.#over) this.#socket.write(ws.frame(ws.TEXT, Buffer.from(JSON.stringify(message))));
  }

  #drained() {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
      if (this.#socket.destroyed) done();
    });
  }

  async #until(holds) {
    while (!holds()) await new Promise((resolve) => { this.#waiting.push(resolve); });
  }

  #changed() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Shows that this client lives, also while nobody reads. */
  #beat() {
    if (!this.#socket.isPaused() && Date.now() - this.#heardMs > 1000 * SILENCE_S) {
      this.#end(lost('the controller is silent'));
    } else if (!this.#over) {
      this.#socket.write(ws.frame(ws.PONG, Buffer.alloc(0)));
    }
  }

  #data(data) {
    this.#heardMs = Date.now();
    try {
      for (const message of this.#parser.push(data)) this.#take(message);
    } catch (error) {
      this.#end(lost(error.message));
    }
    if (this.#readBytes >= AHEAD_BYTES_MAX && !this.#over) this.#socket.pause();
    this.#changed();
  }

  #take({ opcode, data }) {
    if (this.#over) return;
    if (opcode === ws.BINARY && data.length) {
      this.#read.push({ stream: STREAMS[data[0]], data: data.subarray(1) });
      this.#readBytes += data.length - 1;
    } else if (opcode === ws.TEXT) {
      this.#told(JSON.parse(data.toString()));
    } else if (opcode === ws.PING) {
      this.#socket.write(ws.frame(ws.PONG, data));
    } else if (opcode === ws.CLOSE) {
      const { code, reason } = ws.closing(data);
      this.#end(lost(reason || `it was closed with code ${code}`));
    }
  }

  #told(message) {
    if (message.type === 'started') {
      this.replica = message.replica;
    } else if (message.type === 'exit') {
      this.exitCode = message.exit_code;
      this.reason = message.reason;
      this.#end(null);
    } else if (message.type === 'error') {
      this.#end(fromAnswer(STATUSES[message.code] ?? 500, message, {}));
    }
  }

  #end(error) {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    clearInterval(this.#timer);
    this.#socket.end(ws.frame(ws.CLOSE, Buffer.from([0x03, 0xe8])));
    this.#socket.resume();
    setTimeout(() => this.#socket.destroy(), 1000 * CLOSE_S).unref();
    this.#changed();
  }
}

function lost(why) {
  return new TimedOut('SESSION_LOST', "The command's connection is lost",
    `${why}; the command may go on, and how it ends is not known`);
}

/**
 * Give a session its input, and take all that it writes until its end; then it is closed.
 *
 * @throws {TimedOut} the command has not ended within `timeoutS`, or the session was lost
 * @throws {ClientError} the cluster refuses the command, or ended it
 */
async function collect(session, appName, options) {
  const { stdin, timeoutS = EXEC_S, outputBytesMax = OUTPUT_BYTES_MAX } = options;
  const kept = { stdout: [], stderr: [] };
  const left = { stdout: outputBytesMax, stderr: outputBytesMax };
  let truncated = false;
  let late = false;
  const timer = setTimeout(() => { late = true; session.close(); }, 1000 * timeoutS);
  try {
    const input = stdin === undefined ? undefined : Buffer.from(stdin); // or throws here
    if (input) session.write(input).then(() => session.closeStdin());
    for await (const { stream, data } of session) {
      // A view of nothing, too, would keep all of its memory.
      if (left[stream]) kept[stream].push(data.subarray(0, left[stream]));
      truncated ||= data.length > left[stream];
      left[stream] -= Math.min(left[stream], data.length);
    }
  } catch (error) {
    if (!late || !(error instanceof ClientError)) throw error;
    throw new TimedOut('TIMEOUT', 'The command has not ended in time',
      `its connection was closed after ${timeoutS} s; it may go on`);
  } finally {
    clearTimeout(timer);
    session.close();
  }
  return {
    app_name: appName, replica: session.replica, exit_code: session.exitCode,
    stdout: Buffer.concat(kept.stdout).toString(), stderr: Buffer.concat(kept.stderr).toString(),
    truncated, reason: session.reason,
  };
}

module.exports = { ExecSession, collect, startMessage };
