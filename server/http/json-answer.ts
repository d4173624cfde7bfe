import { EventEmitter, once } from 'node:events';
import { setImmediate as afterOthers } from 'node:timers/promises';
import type { Response } from 'express';
import { ReadAbandonedError } from '../store/event-store.js';

/** Characters that are put together before they are sent. */
const partLength = 32 * 1024;
/** Numbers that are made text in one go: well under a millisecond. */
const sliceLength = 4096;

/**
 * A JSON answer that is sent while it is made: it holds one part, waits while its reader is slow, and lets others have
 * the event loop between its parts. An error before the first part is still answered as one.
 */
export class JsonAnswer {
  #part = '';
  readonly #taken = new EventEmitter<{ drain: [] }>();

  constructor(
    readonly response: Response,
    readonly signal: AbortSignal,
  ) {
    // One listener for the whole answer: `compression` moves it to the stream that compresses, and cannot take it back.
    response.on('drain', () => this.#taken.emit('drain'));
  }

  /** @throws ReadAbandonedError when the reader is gone */
  async write(text: string): Promise<void> {
    this.#part += text;
    if (this.#part.length >= partLength) await this.#send();
  }

  /** `"name":[…]`; what is not finite is a word. */
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

  /** Entries of a list that comes in parts. */
  list(): (texts: readonly string[]) => Promise<void> {
    let isFirst = true;
    return async (texts) => {
      for (const text of texts) {
        await this.write(isFirst ? text : `,${text}`);
        isFirst = false;
      }
    };
  }

  /** Entries of an object that comes in parts. */
  entries(): (name: string, write: () => Promise<void>) => Promise<void> {
    let isFirst = true;
    return async (name, write) => {
      await this.write(`${isFirst ? '' : ','}${JSON.stringify(name)}:`);
      isFirst = false;
      await write();
    };
  }

  /** Sends what is left; a short answer goes whole, with its length. */
  end(text: string): void {
    this.#begin();
    this.response.end(this.#part + text);
    this.#part = '';
  }

  #begin(): void {
    if (!this.response.headersSent) this.response.type('json');
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
    // After a drain too: a reader as fast as this drains within the same turn of the event loop.
    await afterOthers();
  }
}

const toJson = (value: number): string => (Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`);
