import { EventEmitter } from 'node:events';

interface PublishWatchEvents {
  /** One message did not reach Redis. */
  lost: [];
  /** The first that did not, after others did. */
  began: [error: unknown];
  /** The first that did again, and how many did not before it. */
  ended: [lost: number];
}

/** Sees every message that goes to the browsers at other hubs, and tells of those that do not get as far as Redis. */
export class PublishWatch extends EventEmitter<PublishWatchEvents> {
  #lost = 0;

  /** The same promise, which has `instead` where it failed: nobody behind it can do anything about that. */
  async over<T>(publishing: Promise<T>, instead: T): Promise<T> {
    try {
      const answer = await publishing;
      if (this.#lost > 0) this.emit('ended', this.#lost);
      this.#lost = 0;
      return answer;
    } catch (error) {
      this.emit('lost');
      if (this.#lost++ === 0) this.emit('began', error);
      return instead;
    }
  }
}
