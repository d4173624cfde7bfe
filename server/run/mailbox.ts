interface Message {
  /** Consecutive messages with the same handler are handled together. */
  handler: (items: unknown[]) => Promise<unknown[]>;
  item: unknown;
  resolve: (answer: unknown) => void;
  reject: (error: unknown) => void;
}

/** The most messages that are handled together. */
const maxTogether = 16;

/**
 * Handles messages one at a time, so that state which only handlers change never changes during another handler. A handler
 * must not wait for a message to its own mailbox.
 */
export class Mailbox {
  readonly #waiting: Message[] = [];
  #isHandling = false;

  /** @param onIdle is called when the mailbox is empty, before the senders continue */
  constructor(readonly onIdle: () => void = () => undefined) {}

  /** Whether no message is being handled and none waits. */
  get isIdle(): boolean {
    return !this.#isHandling && this.#waiting.length === 0;
  }

  /** Handles a message in its turn. @returns what `handle` returns; rejects as it does */
  post<T>(handle: () => T | Promise<T>): Promise<T> {
    return this.#post(async () => [await handle()], undefined) as Promise<T>;
  }

  /**
   * Handles a message in its turn, together with the directly following messages of the same handler.
   * @param handler the same function for all of them; it returns one answer per item, an Error for a failed one. If it
   *   rejects, all items fail.
   */
  postTogether<I, T>(handler: (items: I[]) => Promise<(T | Error)[]>, item: I): Promise<T> {
    return this.#post(handler as Message['handler'], item) as Promise<T>;
  }

  #post(handler: Message['handler'], item: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ handler, item, resolve, reject });
      if (!this.#isHandling) void this.#handleAll();
    });
  }

  async #handleAll(): Promise<void> {
    this.#isHandling = true;
    // Lets messages of the same tick be handled together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const { handler } = this.#waiting[0]!;
      const others = this.#waiting.findIndex((message) => message.handler !== handler);
      const together = this.#waiting.splice(0, Math.min(maxTogether, others < 0 ? this.#waiting.length : others));
      try {
        const answers = await handler(together.map(({ item }) => item));
        together.forEach(({ resolve, reject }, i) => {
          const answer = answers[i];
          if (answer instanceof Error) reject(answer);
          else resolve(answer);
        });
      } catch (error) {
        for (const { reject } of together) reject(error);
      }
    }
    this.#isHandling = false;
    this.onIdle();
  }
}
