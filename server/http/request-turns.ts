import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { httpLimits } from '../access/limits.js';

type Request = [IncomingMessage, ServerResponse];

/** Requests of one connection that wait, and whether one is being answered. */
interface Line {
  waiting: Request[];
  isAnswering: boolean;
}

/** After this long the other work of the event loop has its turn. */
const sliceMs = 20;

/**
 * Gives connections turns: of each, one request is answered at a time, and requests that come all at once are answered in
 * short slices. Node hands over whatever a connection pipelines in one go, so a flood would stand the event loop still,
 * and answers that wait behind an unread one would pile up. A connection with too many that wait is ended.
 */
export class RequestTurns {
  readonly #lines = new Map<Socket, Line>();
  /** Whose next request may be answered, in the order of their turns. */
  readonly #ready = new Set<Socket>();
  /** How long requests have been looked at since other work had its turn. */
  #spentMs = 0;
  #isScheduled = false;
  readonly #answer: (...request: Request) => void;

  /**
   * Stands before all listeners for requests that the server has by now.
   * @param limit requests of one connection that may wait
   */
  constructor(
    server: Server,
    readonly limit: number = httpLimits.waitingRequests,
  ) {
    const listeners = server.listeners('request') as ((...request: Request) => void)[];
    this.#answer = (...request) => listeners.forEach((listener) => listener.call(server, ...request));
    server.removeAllListeners('request').on('request', (...request) => this.#take(...request));
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // Ended, with the rest of what it had sent on its way.
    if (socket.destroyed) return;
    const line = this.#lines.get(socket) ?? this.#open(socket);
    if (line.waiting.length >= this.limit) return void socket.destroy();
    line.waiting.push([request, response]);
    if (!line.isAnswering) this.#ready.add(socket);
    if (this.#spentMs < sliceMs) this.#goOn();
    this.#schedule();
  }

  #open(socket: Socket): Line {
    const line: Line = { waiting: [], isAnswering: false };
    this.#lines.set(socket, line);
    socket.once('close', () => {
      this.#lines.delete(socket);
      this.#ready.delete(socket);
    });
    return line;
  }

  #goOn(): void {
    for (const socket of this.#ready) {
      if (this.#spentMs >= sliceMs) return;
      this.#ready.delete(socket);
      const line = this.#lines.get(socket)!;
      const [request, response] = line.waiting.shift()!;
      line.isAnswering = true;
      response.once('close', () => {
        line.isAnswering = false;
        if (line.waiting.length === 0 || !this.#lines.has(socket)) return;
        this.#ready.add(socket);
        this.#schedule();
      });
      const startMs = performance.now();
      this.#answer(request, response);
      this.#spentMs += performance.now() - startMs;
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#spentMs = 0;
      if (this.#ready.size === 0) return;
      this.#goOn();
      this.#schedule();
    });
  }
}
