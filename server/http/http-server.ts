import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { httpLimits } from '../access/limits.js';

/**
 * The connections on which nobody has shown a session or the token yet. Above their limit the oldest gives way to the
 * newest, so nobody keeps others out by opening all there is room for. WebSockets are counted by FrontDoor.
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

  /** The connection of this request stays as long as its other side likes. */
  isKnown = ({ socket }: IncomingMessage): void => void this.#sockets.delete(socket);
}

type HttpTimes = Pick<typeof httpLimits, 'headersWithinMs' | 'requestWithinMs' | 'lookEveryMs'>;

/**
 * An HTTP server that holds no connection for those who say nothing, or say it slowly.
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
