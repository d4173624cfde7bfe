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
  /** A call of this method failed. A refusal because of the call's arguments is an answer, not a failure. */
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
/**
 * A failed write counts for this long. After that a hub without writes counts as able to write again: without a new write
 * nothing can show whether it is.
 */
const failureLifeMs = 60_000;

/** Watches every call of a store: the only place that times and counts them. */
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
