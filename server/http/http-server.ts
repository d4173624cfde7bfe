import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { httpLimits } from '../access/limits.js';

/**
 * The connections that have not shown a session or the token yet. Above their limit the oldest one is closed for the
 * newest, so nobody can lock out others by opening connections. FrontDoor counts WebSockets.
 */
export class UnknownConnections {
  readonly #sockets = new Set<Socket>();

  constructor(readonly limit: number = httpLimits.unknownConnections) {}

  get size(): number {
    return this.#sockets.size;
  }

  follow(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const [oldest] = this.#sockets;
      if (this.#sockets.size >= this.limit) oldest?.destroy();
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('upgrade', this.isKnown);
  }

  /** Keeps the connection of this request: its client is known. */
  isKnown = ({ socket }: IncomingMessage): void => void this.#sockets.delete(socket);
}

type HttpTimes = Pick<typeof httpLimits, 'headersWithinMs' | 'requestWithinMs' | 'lookEveryMs'>;

/**
 * An HTTP server that closes silent and slow connections.
 * @param app answers requests
 */
export function createHttpServer(app: RequestListener, limits: HttpTimes = httpLimits): Server {
  return createServer(
    {
      headersTimeout: limits.headersWithinMs,
      requestTimeout: limits.requestWithinMs,
      connectionsCheckingInterval: limits.lookEveryMs,
    },
    app,
  );
}
