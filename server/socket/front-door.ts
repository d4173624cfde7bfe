import { EventEmitter } from 'node:events';
import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Server } from 'socket.io';
import { CallerBudgets, type Caller, type Callers } from '../access/caller.js';
import { handshakeBudgets, standingLimits, type Standing } from '../access/limits.js';
import { refusedRequest, type GuardOptions } from '../access/origin-guard.js';
import { Connection, type EngineSocket } from './connection.js';

interface FrontDoorEvents {
  /** A connection, or a request for one, exceeded a limit. */
  refused: [reason: string, address: string];
}

/** The Engine.IO id of a connection, the `sid` of its requests. */
const idOf = (engine: EngineSocket): string => (engine as unknown as { id: string }).id;

type EngineRequest = IncomingMessage & { _query?: { sid?: string } };

/**
 * Limits who may connect to Socket.IO and how much a connection may send. Each standing has its own count, so that anonymous
 * connections cannot displace sessions or trainers.
 */
export class FrontDoor extends EventEmitter<FrontDoorEvents> {
  /** By Engine.IO id, the oldest first. */
  readonly #connections = new Map<string, Connection>();
  readonly #handshakes = new CallerBudgets(handshakeBudgets);

  constructor(
    readonly callers: Callers,
    readonly guard: GuardOptions,
    /** Called with requests that have a session or the token. */
    readonly onKnown: (request: IncomingMessage) => void,
  ) {
    super();
  }

  /** The number of connections with a standing. */
  count(standing: Standing, of?: Caller): number {
    return this.#standing(standing, of).length;
  }

  /** Engine.IO's `allowRequest`: decides on a new connection. */
  allowRequest = (request: IncomingMessage, decide: (refusal: string | null, isAllowed: boolean) => void): void => {
    const caller = this.callers.of(request);
    const refusal = refusedRequest(request, this.guard) ?? this.#refusedHandshake(caller);
    if (refusal === null) this.#accept(request, caller);
    else this.emit('refused', refusal, caller.address);
    decide(refusal, refusal === null);
  };

  /** Checks all input of a Socket.IO server before the server sees it. */
  guardServer(io: Server): void {
    const upgrades = new WeakSet<EngineRequest>();
    io.engine.use((request: EngineRequest, response: unknown, next: (error?: Error) => void) => {
      const connection = this.#connectionOf(request);
      if (connection && ['session', 'trainer'].includes(connection.standing)) this.onKnown(request);
      // An upgrade request has no response of its own.
      if (!(response instanceof ServerResponse)) upgrades.add(request);
      else if (connection?.admitsRequest(request, response) === false) return next(new Error('It is answered.'));
      next();
    });
    // A connection that began with polling becomes a WebSocket; no byte of it has been read yet.
    io.engine.on('headers', (_headers: unknown, request: EngineRequest) => {
      if (upgrades.has(request)) this.#connectionOf(request)?.boundStream(request.socket);
    });
    io.engine.on('connection', (engine: EngineSocket) => this.#add(engine));
    // Socket.IO lets everybody join the root namespace by default.
    io.of('/').use((_socket, next) =>
      next(new Error('There is nothing in this namespace. Join /trainer or /dashboard.')),
    );
  }

  /**
   * Gives a connection its standing when it joins a namespace.
   * @returns the reason if there are too many; null on success
   */
  admit(engine: EngineSocket, standing: Standing): string | null {
    const connection = this.#connections.get(idOf(engine));
    // The connection has ended meanwhile.
    if (!connection) return null;
    const refusal = connection.standing === standing ? null : this.#full(standing, connection.caller);
    if (refusal === null) connection.becomes(standing);
    else this.emit('refused', refusal, connection.caller.address);
    return refusal;
  }

  callerOf(engine: EngineSocket): Caller {
    return this.#connections.get(idOf(engine))?.caller ?? this.callers.of(engine.request);
  }

  #refusedHandshake(caller: Caller): string | null {
    if (!this.#handshakes.of(caller).take())
      return 'Too many connections in a short time; wait a second and try again.';
    // Evicts a connection that has joined nothing yet.
    return caller.kind === 'address' ? null : this.#full(caller.kind, caller);
  }

  #full(standing: Standing, caller: Caller): string | null {
    const { perCaller, total } = standingLimits[standing];
    if (this.count(standing, caller) < perCaller && this.count(standing) < total) return null;
    return 'Too many connections are open. Close some, e.g. other pages of the dashboard, and try again.';
  }

  #accept(request: IncomingMessage, caller: Caller): void {
    if (caller.kind !== 'address') return this.onKnown(request);
    const { perCaller, total } = standingLimits.arriving;
    const giveWay = (connections: readonly Connection[], limit: number): void => {
      if (connections.length >= limit) connections[0]!.refuse('It joined no namespace, and others wait.');
    };
    giveWay(this.#standing('arriving', caller), perCaller);
    giveWay(this.#standing('arriving'), total);
  }

  #add(engine: EngineSocket): void {
    const caller = this.callers.of(engine.request);
    const refused = (reason: string): void => void this.emit('refused', reason, caller.address);
    const connection = new Connection(engine, caller, refused, () => this.#connections.delete(idOf(engine)));
    this.#connections.set(idOf(engine), connection);
  }

  #connectionOf({ _query }: EngineRequest): Connection | undefined {
    return this.#connections.get(_query?.sid ?? '');
  }

  #standing(standing: Standing, of?: Caller): readonly Connection[] {
    return [...this.#connections.values()].filter(
      ({ standing: its, caller }) => its === standing && (!of || (caller.kind === of.kind && caller.name === of.name)),
    );
  }
}
