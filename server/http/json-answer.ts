import { EventEmitter, once } from 'node:events';
import { setImmediate as afterOthers } from 'node:timers/promises';
import type { Response } from 'express';
import { ReadAbandonedError } from '../store/event-store.js';

/** Characters that are collected before they are sent. */
const partLength = 32 * 1024;
/** Characters of a long text that are sent in one go. */
const pieceLength = 256 * 1024;
/** Numbers that are formatted without a pause: well under a millisecond. */
const sliceLength = 4096;

/**
 * A streamed JSON answer, unless the response has another type. It holds one part, waits for a slow reader, and yields the
 * event loop between parts. An error before the first part still gets an error answer.
 */
export class JsonAnswer {
  #part = '';
  readonly #taken = new EventEmitter<{ drain: [] }>();

  constructor(
    readonly response: Response,
    readonly signal: AbortSignal,
  ) {
    // One listener for the whole answer: `compression` moves it to its own stream and never removes it.
    response.on('drain', () => this.#taken.emit('drain'));
  }

  /** @throws ReadAbandonedError when the reader is gone */
  async write(text: string): Promise<void> {
    for (let from = 0; from < text.length;) {
      let end = from + pieceLength;
      // Both halves of a character stay together: encoded apart, they are lost.
      if (isHighSurrogate(text.charCodeAt(end - 1))) end--;
      this.#part += text.slice(from, end);
      if (this.#part.length >= partLength) await this.#send();
      from = end;
    }
  }

  /** Writes `"name":[…]`; non-finite values are words. */
  async column(name: string, values: ArrayLike<number>): Promise<void> {
    await this.write(`${JSON.stringify(name)}:[`);
    for (let from = 0; from < values.length; from += sliceLength) {
      const end = Math.min(values.length, from + sliceLength);
      let text = from === 0 ? '' : ',';
      for (let i = from; i < end; i++) text += (i === from ? '' : ',') + toJson(values[i]!);
      await this.write(text);
    }
    await this.write(']');
  }

  /** Writes the entries of a list in parts. */
  list(): (texts: readonly string[]) => Promise<void> {
    let isFirst = true;
    return async (texts) => {
      for (const text of texts) {
        await this.write(isFirst ? text : `,${text}`);
        isFirst = false;
      }
    };
  }

  /** Writes the entries of an object in parts. */
  entries(): (name: string, write: () => Promise<void>) => Promise<void> {
    let isFirst = true;
    return async (name, write) => {
      await this.write(`${isFirst ? '' : ','}${JSON.stringify(name)}:`);
      isFirst = false;
      await write();
    };
  }

  /** Sends the rest; a short answer goes in one piece, with its length. */
  end(text: string): void {
    this.#begin();
    this.response.end(this.#part + text);
    this.#part = '';
  }

  #begin(): void {
    if (!this.response.getHeader('Content-Type')) this.response.type('json');
  }

  async #send(): Promise<void> {
    this.#begin();
    const part = this.#part;
    this.#part = '';
    if (this.signal.aborted) throw new ReadAbandonedError('The reader is gone.');
    if (!this.response.write(part))
      await once(this.#taken, 'drain', { signal: this.signal }).catch(() => {
        throw new ReadAbandonedError('The reader is gone.');
      });
    // Also after a drain: a fast reader drains within the same turn of the event loop.
    await afterOthers();
  }
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;

const toJson = (value: number): string => (Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`);
