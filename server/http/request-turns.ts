import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { httpLimits } from '../access/limits.js';

type Request = [IncomingMessage, ServerResponse];

/** The waiting requests of one connection, and whether one is being answered. */
interface Line {
  waiting: Request[];
  isAnswering: boolean;
}

/** Time slice for requests before other work of the event loop gets its turn. */
const sliceMs = 20;

/**
 * Schedules the requests of connections: one at a time per connection, and a burst of requests in short slices. Node hands
 * over all pipelined requests at once, so a flood would block the event loop, and answers behind an unread one would pile
 * up. A connection with too many waiting requests is closed.
 */
export class RequestTurns {
  readonly #lines = new Map<Socket, Line>();
  /** Connections whose next request may be answered, in the order of their turns. */
  readonly #ready = new Set<Socket>();
  /** Time spent on requests since other work had its turn. */
  #spentMs = 0;
  #isScheduled = false;
  readonly #answer: (...request: Request) => void;

  /**
   * Takes the place of all request listeners that the server has by now.
   * @param limit most waiting requests of one connection
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
    // The connection was closed, but some of its requests were already parsed.
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
