import { EventEmitter } from 'node:events';

interface PublishWatchEvents {
  /** One message did not reach Redis. */
  lost: [];
  /** The first message is lost after a successful one. */
  began: [error: unknown];
  /** The first message succeeds after lost ones; how many were lost. */
  ended: [lost: number];
}

/** Watches the messages for browsers at other hubs and reports those that do not reach Redis. */
export class PublishWatch extends EventEmitter<PublishWatchEvents> {
  #lost = 0;

  /**
   * Reports how publishing a message went.
   * @param instead the result of a failed publish: the caller cannot handle the failure
   */
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
