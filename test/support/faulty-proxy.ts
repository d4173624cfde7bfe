import { once } from 'node:events';
import { createServer, connect, type Server, type Socket } from 'node:net';

/** The state of a network between two programs. */
export type ProxyState =
  | { kind: 'healthy' }
  /** Bytes arrive late, in both directions. */
  | { kind: 'slow'; delayMs: number }
  /** Connections stay open and new ones are accepted, but nothing arrives, silently. */
  | { kind: 'half-open' };

interface Pair {
  near: Socket;
  far: Socket | null;
  /** It lost bytes while nothing got through, so it never works again, like behind a router that forgot it. */
  dead: boolean;
}

/** A TCP proxy on this machine that breaks the connections through it. */
export class FaultyProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #state: ProxyState = { kind: 'healthy' };
  /** Connections accepted so far. */
  accepted = 0;

  private constructor(
    server: Server,
    readonly port: number,
    readonly targetPort: number,
  ) {
    this.#server = server;
    server.on('connection', (socket) => this.#serve(socket));
  }

  /** @param targetPort of 127.0.0.1; it may be unused at first */
  static async start(targetPort: number): Promise<FaultyProxy> {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyProxy(server, (server.address() as { port: number }).port, targetPort);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Changes the state. Half-open connections stay dead when it is healthy again; new connections work. */
  become(state: ProxyState): void {
    this.#state = state;
    if (state.kind === 'half-open') for (const pair of this.#pairs) pair.dead = true;
  }

  /** Cuts all connections with a RST, like a firewall or a restarting machine. */
  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far?.resetAndDestroy();
    }
    this.#pairs.clear();
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far?.destroy();
    }
    await once(this.#server, 'close');
  }

  #serve(near: Socket): void {
    const pair: Pair = { near, far: null, dead: this.#state.kind === 'half-open' };
    this.#pairs.add(pair);
    this.accepted++;
    near.on('error', () => undefined);
    near.on('close', () => this.#ended(pair, pair.far));
    if (pair.dead) {
      near.resume();
      return;
    }
    const far = connect({ port: this.targetPort, host: '127.0.0.1', noDelay: true });
    pair.far = far;
    far.on('error', () => undefined);
    far.on('close', () => this.#ended(pair, near));
    this.#forward(pair, near, far);
    this.#forward(pair, far, near);
  }

  /** One side is gone: closes the other, unless nothing gets through. */
  #ended(pair: Pair, other: Socket | null): void {
    if (pair.dead && !pair.near.destroyed) return;
    this.#pairs.delete(pair);
    if (other && !other.destroyed && !pair.dead) other.resetAndDestroy();
    // The far end of a dead connection notices only when the proxy closes.
    if (pair.dead && pair.far && !pair.far.destroyed) this.#pairs.add(pair);
  }

  /** Bytes keep their order even if the delay changes. */
  #forward(pair: Pair, from: Socket, to: Socket): void {
    let dueMs = 0;
    const pass = (act: () => void): void => {
      const delayMs = this.#state.kind === 'slow' ? this.#state.delayMs : 0;
      dueMs = Math.max(dueMs, performance.now() + delayMs);
      const waitMs = dueMs - performance.now();
      if (waitMs <= 0) act();
      else setTimeout(act, waitMs);
    };
    from.on('data', (chunk: Buffer) => {
      if (pair.dead) return;
      pass(() => {
        if (!pair.dead && !to.destroyed) to.write(chunk);
      });
    });
    from.on('end', () => {
      if (pair.dead) return;
      pass(() => {
        if (!pair.dead && !to.destroyed) to.end();
      });
    });
  }
}
