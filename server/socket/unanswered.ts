import { unansweredLimits } from '../access/limits.js';
import { Refusal } from '../run/refusal.js';

/** Counts what one connection has sent and has had no answer to. While the store hangs, all of it waits in memory. */
export class Unanswered {
  #messages = 0;
  #characters = 0;

  constructor(readonly limits: typeof unansweredLimits = unansweredLimits) {}

  /**
   * Counts a message until it is answered.
   * @returns ends that
   * @throws Refusal `rate_limited` when too much is unanswered already
   */
  take(characters: number): () => void {
    const { messages: most, characters: mostCharacters } = this.limits;
    const isTooMuch = this.#messages >= most || this.#characters + characters > mostCharacters;
    if (this.#messages > 0 && isTooMuch)
      throw new Refusal(
        'rate_limited',
        `At most ${most} messages, or ${mostCharacters / 2 ** 20} MiB of them, may be unanswered. ` +
          'Wait for answers, then send this one again.',
        { retry: true },
      );
    this.#messages++;
    this.#characters += characters;
    return () => {
      this.#messages--;
      this.#characters -= characters;
    };
  }
}
