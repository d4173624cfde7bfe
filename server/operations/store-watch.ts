import { EventEmitter } from 'node:events';
import {
  AnswerTooLargeError,
  ReadAbandonedError,
  ReadInterruptedError,
  ReadTooLargeError,
  SequenceGapError,
  StoreBusyError,
  StoreConflictError,
  type EventStore,
} from '../store/event-store.js';

interface StoreWatchEvents {
  /** A call of this method succeeded. */
  done: [method: string, seconds: number];
  /** The store could not do this; what it refuses for what was asked is an answer and no failure. */
  failed: [method: string, error: unknown];
}

const writes: readonly string[] = [
  'createRun',
  'updateRun',
  'deleteRun',
  'append',
  'putCommand',
] satisfies (keyof EventStore)[];
const answers = [
  ...[SequenceGapError, StoreConflictError, StoreBusyError],
  ...[AnswerTooLargeError, ReadTooLargeError, ReadAbandonedError, ReadInterruptedError],
];
/** A hub that nobody writes to counts as able to write again after this long: only a write can show it. */
const failureLifeMs = 60_000;

/** Sees every call of a store, whichever store it is and whoever calls: the one place that times and counts them. */
export class StoreWatch extends EventEmitter<StoreWatchEvents> {
  #failedWrite: { error: unknown; atMs: number } | null = null;

  /** The error of the last write, if it failed and no write has succeeded since. */
  get failedWrite(): unknown {
    const failed = this.#failedWrite;
    return failed && performance.now() - failed.atMs < failureLifeMs ? failed.error : null;
  }

  /** The same store, watched. */
  over<S extends EventStore>(store: S): S {
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function' || typeof name !== 'string') return member;
        return (...args: unknown[]) => this.#call(name, () => member.apply(target, args) as unknown);
      },
    });
  }

  async #call(method: string, call: () => unknown): Promise<unknown> {
    const startMs = performance.now();
    try {
      const result = await call();
      if (writes.includes(method)) this.#failedWrite = null;
      this.emit('done', method, (performance.now() - startMs) / 1000);
      return result;
    } catch (error) {
      if (!answers.some((answer) => error instanceof answer)) {
        if (writes.includes(method)) this.#failedWrite = { error, atMs: performance.now() };
        this.emit('failed', method, error);
      }
      throw error;
    }
  }
}
