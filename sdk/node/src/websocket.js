'use strict';

/**
 * A client's side of WebSockets: the handshake and frames; touches no network.
 *
 * Source: RFC 6455. No extension, no subprotocol.
 */

const { createHash, randomBytes } = require('node:crypto');

const CONTINUED = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const MESSAGE_BYTES_MAX = 1024 * 1024;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const NO_STATUS = 1005;

/** What a handshake is known by. */
function newKey() {
  return randomBytes(16).toString('base64');
}

/** The headers that ask for a WebSocket. */
function handshake(key) {
  return {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Version': '13',
  };
}

/** Whether an answer with status 101 is one to this handshake. */
function accepts(key, headers) {
  const digest = createHash('sha1').update(key + GUID).digest('base64');
  return String(headers['sec-websocket-accept'] ?? '').trim() === digest;
}

/** A whole message, masked as a client's must be. */
function frame(opcode, data) {
  const size = data.length;
  const head = size < 126 ? Buffer.alloc(2) : Buffer.alloc(size < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (size < 126) {
    head[1] = 0x80 | size;
  } else if (size < 65_536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(size, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  const mask = randomBytes(4);
  const masked = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at += 1) masked[at] = data[at] ^ mask[at & 3];
  return Buffer.concat([head, mask, masked]);
}

/** Code and reason of a close frame. */
function closing(data) {
  if (data.length < 2) return { code: NO_STATUS, reason: '' };
  return { code: data.readUInt16BE(0), reason: data.toString('utf8', 2) };
}

/** A server's bytes, as they come, into messages; keeps one of MESSAGE_BYTES_MAX at most. */
class Parser {
  #buffer = Buffer.alloc(0);
  #pieces = [];
  #bytes = 0;
  #kind = CONTINUED;

  /**
   * The messages and control frames that this completes.
   *
   * @param {Buffer} data
   * @returns {{opcode: number, data: Buffer}[]}
   * @throws {Error} they are masked, too large, or broken otherwise
   */
  push(data) {
    this.#buffer = this.#buffer.length ? Buffer.concat([this.#buffer, data]) : data;
    const found = [];
    for (let one = this.#frame(); one; one = this.#frame()) {
      const opcode = one.first & 0x0f;
      if (opcode >= CLOSE) {
        found.push({ opcode, data: one.data });
        continue;
      }
      if ((opcode === CONTINUED) !== (this.#kind !== CONTINUED)) {
        throw new Error('a message is not in one piece');
      }
      this.#kind = opcode || this.#kind;
      this.#pieces.push(one.data);
      this.#bytes += one.data.length;
      if (this.#bytes > MESSAGE_BYTES_MAX) throw new Error('a message is too large');
      if (one.first & 0x80) {
        found.push({ opcode: this.#kind, data: Buffer.concat(this.#pieces) });
        this.#kind = CONTINUED;
        this.#pieces = [];
        this.#bytes = 0;
      }
    }
    return found;
  }

  #frame() {
    const buffer = this.#buffer;
    if (buffer.length < 2) return null;
    const first = buffer[0];
    let size = buffer[1];
    let at = 2;
    if (first & 0x70 || size & 0x80) {
      throw new Error('a frame is none of a server without extensions');
    }
    if (size > 125) {
      at = size === 126 ? 4 : 10;
      if (buffer.length < at) return null;
      size = at === 4 ? buffer.readUInt16BE(2) : Number(buffer.readBigUInt64BE(2));
    }
    if (size > MESSAGE_BYTES_MAX || (first & 0x08 && size > 125)) {
      throw new Error('a frame is too large');
    }
    if (buffer.length < at + size) return null;
    this.#buffer = buffer.subarray(at + size);
    return { first, data: buffer.subarray(at, at + size) };
  }
}

module.exports = {
  BINARY, CLOSE, PING, PONG, Parser, TEXT, accepts, closing, frame, handshake, newKey,
};
