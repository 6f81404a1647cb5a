'use strict';

const EVENT_CHARS_MAX = 1024 * 1024;

/**
 * Server-sent events from text that comes in pieces. Source: "Server-sent events" in the HTML
 * standard, the parts that controllers use.
 */
class SseParser {
  #rest = '';
  #event = empty();
  #chars = 0;

  /**
   * Take a piece.
   *
   * @param {string} text
   * @returns {{name: string, data: string, id: string | null}[]} the events that it completes
   * @throws {RangeError} an event is larger than EVENT_CHARS_MAX
   */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n/);
    this.#rest = lines.pop();
    const found = [];
    for (const line of lines) {
      if (line !== '') {
        this.#field(line);
      } else {
        if (this.#event.data.length) found.push(finished(this.#event));
        this.#event = empty();
        this.#chars = 0;
      }
    }
    this.#check(this.#rest.length);
    return found;
  }

  #field(line) {
    this.#chars += line.length;
    this.#check(0);
    const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (name === 'data') this.#event.data.push(value ?? '');
    if (name === 'event') this.#event.name = value ?? '';
    if (name === 'id') this.#event.id = value ?? '';
  }

  #check(more) {
    if (this.#chars + more > EVENT_CHARS_MAX) {
      throw new RangeError(`an event has more than ${EVENT_CHARS_MAX} characters`);
    }
  }
}

function empty() {
  return { name: 'message', data: [], id: null };
}

function finished({ name, data, id }) {
  return { name, data: data.join('\n'), id };
}

module.exports = { EVENT_CHARS_MAX, SseParser };
