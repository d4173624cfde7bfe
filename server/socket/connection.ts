import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket as TcpSocket } from 'node:net';
import type { Socket } from 'socket.io';
import type { Caller } from '../access/caller.js';
import { closeWithinMs, joinWithinMs, standingLimits, type Standing, type StandingLimits } from '../access/limits.js';
import { RateLimit } from '../access/rate-limit.js';

/** An Engine.IO connection, the transport of Socket.IO: a WebSocket, or polling requests. */
export type EngineSocket = Socket['conn'];

/** The number of namespaces. */
const maxJoins = 2;
/** One chunk from the network may hold many messages. */
const chunkBytes = 65_536;
/** The first character of Socket.IO packets. */
const [connect, binaryEvent, binaryAck] = ['0', '5', '6'];
const packetSeparator = '\x1e';

/**
 * Bounds the input of one connection before Socket.IO sees it. Socket.IO creates a socket for each CONNECT before middleware
 * can refuse it, and keeps attachments until all have arrived. So this checks both, packet by packet. A packet out of bounds
 * ends the connection at once.
 */
export class Connection {
  #standing: Standing;
  #packets: RateLimit | null;
  readonly #joined = new Set<string>();
  /** Bytes received since the last complete packet. */
  #unread = 0;
  readonly #timer: NodeJS.Timeout;
  /** The network socket of a WebSocket. */
  #stream: TcpSocket | null = null;
  #isRefused = false;

  /**
   * @param onRefused called with the reason when the hub ends it
   * @param onEnd called when it has ended for any reason
   */
  constructor(
    readonly engine: EngineSocket,
    readonly caller: Caller,
    readonly onRefused: (reason: string) => void,
    onEnd: () => void,
  ) {
    this.#standing = caller.kind === 'address' ? 'arriving' : caller.kind;
    this.#packets = limitOf(this.limits);
    this.#timer = setTimeout(() => this.refuse('It joined no namespace.'), joinWithinMs);
    engine.on('packet', (packet: { type: string; data?: unknown }) => this.#look(packet));
    engine.once('close', () => {
      clearTimeout(this.#timer);
      // `ws` waits half a minute for the other side to close it too.
      if (this.#stream) destroyLater(this.#stream);
      onEnd();
    });
    if (engine.transport.name === 'websocket') this.boundStream(engine.request.socket);
  }

  get standing(): Standing {
    return this.#standing;
  }
  get limits(): StandingLimits {
    return standingLimits[this.#standing];
  }

  /** It has joined a namespace. */
  becomes(standing: Standing): void {
    clearTimeout(this.#timer);
    // A trainer that watches too stays one.
    if (standing === this.#standing || this.#standing === 'trainer') return;
    this.#standing = standing;
    this.#packets = limitOf(this.limits);
  }

  /** Ends it at once. Engine.IO emits no more packets of it, not even the current one. */
  refuse(reason: string): void {
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.onRefused(reason);
    this.engine.close(true);
    this.#stream?.destroySoon();
  }

  /** Bounds how much of an unfinished message a WebSocket holds; `ws` itself has one limit for all. */
  boundStream(stream: TcpSocket): void {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      // The other side ignores the close and goes on sending.
      if (this.#isRefused) return void stream.destroy();
      this.#unread += chunk.length;
      if (this.#unread > this.limits.answeredBytes + chunkBytes) this.#tooLong();
    });
  }

  /**
   * Bounds a polling request, whose body Engine.IO parses as a whole.
   * @returns whether it may continue; otherwise it has been answered and this connection has ended
   */
  admitsRequest(request: IncomingMessage, response: ServerResponse): boolean {
    const { messageBytes, packetsPerBody } = this.limits;
    const refuse = (status: number, message: string): false => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ message }));
      this.refuse(message);
      return false;
    };
    // Engine.IO would leave it without an answer.
    if (this.engine.transport.name !== 'polling') return refuse(400, 'This connection has become a WebSocket.');
    if (this.#packets?.take() === false) return refuse(429, tooManyPackets);
    if (request.method !== 'POST') return true;
    const tooLarge = `A body of this connection holds at most ${messageBytes} bytes.`;
    if (Number(request.headers['content-length'] ?? 0) > messageBytes) return refuse(413, tooLarge);
    let [bytes, packets] = [0, 1];
    const read = (chunk: string | Buffer): void => {
      bytes += Buffer.byteLength(chunk);
      for (let at = -1; (at = chunk.indexOf(packetSeparator, at + 1)) >= 0;) packets++;
      if (bytes <= messageBytes && packets <= packetsPerBody) return;
      request.off('data', read);
      if (bytes > messageBytes) refuse(413, tooLarge);
      else refuse(400, `A body of this connection holds at most ${packetsPerBody} packets.`);
    };
    request.on('data', read);
    return true;
  }

  #look({ type, data }: { type: string; data?: unknown }): void {
    this.#unread = 0;
    if (this.#packets?.take() === false) return this.refuse(tooManyPackets);
    if (data !== undefined && typeof data !== 'string') return this.refuse('The hub takes no binary data.');
    if (data !== undefined && data.length > this.limits.answeredBytes) return this.#tooLong();
    if (type !== 'message' || !data) return;
    if (data[0] === binaryEvent || data[0] === binaryAck) return this.refuse('The hub takes no binary attachments.');
    if (data[0] === connect) this.#join(namespaceOf(data));
  }

  #join(namespace: string): void {
    if (this.#joined.has(namespace) || this.#joined.size === maxJoins)
      return this.refuse('A connection joins a namespace once.');
    this.#joined.add(namespace);
  }

  #tooLong(): void {
    this.refuse(`A message of this connection holds at most ${this.limits.messageBytes} characters.`);
  }
}

const tooManyPackets = 'Too many packets; the connection may be made again.';

function destroyLater(stream: TcpSocket): void {
  const timer = setTimeout(() => stream.destroy(), closeWithinMs);
  stream.once('close', () => clearTimeout(timer));
}

const limitOf = ({ packets }: StandingLimits): RateLimit | null => (packets ? new RateLimit(packets) : null);

/** `0/dashboard,{…}` -> `/dashboard`; `0` and `0{…}` -> `/` */
function namespaceOf(data: string): string {
  if (data[1] !== '/') return '/';
  const end = data.indexOf(',');
  return data.slice(1, end < 0 ? undefined : end);
}
