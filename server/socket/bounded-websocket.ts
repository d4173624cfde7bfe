import { WebSocket, WebSocketServer, type ServerOptions } from 'ws';
import { pingBudget } from '../access/limits.js';
import { RateLimit } from '../access/rate-limit.js';

/** The WebSocket server of Engine.IO, its `wsEngine`, which answers few pings. */
export class BoundedWebSocketServer extends WebSocketServer {
  constructor(options: ServerOptions) {
    super({ ...options, autoPong: false });
  }

  override handleUpgrade(...[request, stream, head, done]: Parameters<WebSocketServer['handleUpgrade']>): void {
    super.handleUpgrade(request, stream, head, (socket, of) => {
      boundPings(socket);
      done(socket, of);
    });
  }
}

/**
 * A network chunk may hold ten thousand pings, and to answer each of them would block the event loop. Clients need none:
 * Socket.IO has its own, in messages.
 */
function boundPings(socket: WebSocket): void {
  const pings = new RateLimit(pingBudget);
  socket.on('ping', (data) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    if (pings.take()) socket.pong(data);
    else socket.terminate();
  });
}
