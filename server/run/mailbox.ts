interface Message {
  /** Messages of one handler that follow one another are handled together. */
  handler: (items: unknown[]) => Promise<unknown[]>;
  item: unknown;
  resolve: (answer: unknown) => void;
  reject: (error: unknown) => void;
}

/** How many messages are handled together at most. */
const maxTogether = 16;

/**
 * Handles messages one after another: while one is handled, no other is. So nothing that is only changed in handlers
 * changes under one of them. A handler must not wait for a message to its own mailbox.
 */
export class Mailbox {
  readonly #waiting: Message[] = [];
  #isHandling = false;

  /** @param onIdle is told when all that was posted has been handled, before its senders go on */
  constructor(readonly onIdle: () => void = () => undefined) {}

  /** Nothing is being handled and nothing waits. */
  get isIdle(): boolean {
    return !this.#isHandling && this.#waiting.length === 0;
  }

  /** Handles a message in its turn. @returns what `handle` returns; rejects as it does */
  post<T>(handle: () => T | Promise<T>): Promise<T> {
    return this.#post(async () => [await handle()], undefined) as Promise<T>;
  }

  /**
   * Handles a message in its turn, together with those of the same handler right behind it.
   * @param handler the same function for all that may be handled together; it answers each item, an Error for one that
   *   fails. Where it rejects, all of them fail.
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
