import { unansweredLimits } from '../access/limits.js';
import { Refusal } from '../run/refusal.js';

/** Counts the unanswered messages of one connection. While the store hangs, they wait in memory. */
export class Unanswered {
  #messages = 0;
  #characters = 0;

  constructor(readonly limits: typeof unansweredLimits = unansweredLimits) {}

  /**
   * Counts a message until it is answered.
   * @returns a function that ends the count
   * @throws Refusal `rate_limited` if too much is unanswered already
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
