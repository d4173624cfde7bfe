import { createServer, type Server as HttpServer } from 'node:http';
import type { Socket as TcpSocket } from 'node:net';
import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { Server, type Socket } from 'socket.io';
import { readEvents } from '@plumbline/server/dist/run/read-events.js';
import { tolerantParser } from '@plumbline/server/dist/socket/tolerant-parser.js';
import type { Command } from '@plumbline/shared/command';
import { Attach } from '@plumbline/shared/socket';
import { isLastWord } from '@plumbline/shared/trainer-event';
import { isWireMetricEvent, type WireEvent } from '@plumbline/shared/wire-event';
import { until } from './cases.js';

export interface Refused {
  code: string;
  retry: boolean;
  lastSeq?: number;
}
/** The hub's behaviour for the next message of a kind; afterwards it behaves normally. */
export interface Mood {
  /** Refuses the message. */
  refuse?: Refused;
  /** Breaks the connection without an answer, before or after the message takes effect. */
  breakLine?: 'before' | 'after';
  /** Reports an omitted value. */
  problem?: true;
}

/**
 * A hub for one trainer at a time that keeps acknowledged events in memory. It records every breach of the protocol,
 * and misbehaves on demand.
 */
export class PlayedHub {
  readonly token = `conformance-${Math.random().toString(36).slice(2)}-token`;
  /** The trainer's breaches of the protocol. */
  readonly faults: string[] = [];
  /** Events of the last attached run; the first has number 1. */
  events: WireEvent[] = [];
  attaches: Attach[] = [];
  /** The number of connections refused for their token. */
  refusedConnections = 0;
  /** The commands that the trainer has acknowledged. */
  acknowledged: string[] = [];
  /** Behaviours for the next messages of each kind, in order. */
  readonly moods: Record<'attach' | 'events', Mood[]> = { attach: [], events: [] };
  /** Whether every connection is refused as one with a wrong token. */
  refusesTokens = false;
  #http!: HttpServer;
  #io!: Server;
  #port = 0;
  #lines = new Set<TcpSocket>();
  #socket: Socket | null = null;
  #series = new Map<number, string>();
  /** Open commands, which are sent again after each attach. */
  #open: Command[] = [];

  static async start(): Promise<PlayedHub> {
    const hub = new PlayedHub();
    await hub.#listen();
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }
  get lastSeq(): number {
    return this.events.length;
  }
  get isAttached(): boolean {
    return this.#socket?.connected ?? false;
  }

  /** Drops the connection without a message. */
  breakLine(): void {
    this.#socket = null;
    for (const line of this.#lines) line.destroy();
  }

  /** Stops, stays away for a moment, and comes back with its acknowledged events. */
  async restart(awayMs: number): Promise<void> {
    await this.close();
    await new Promise((resolve) => setTimeout(resolve, awayMs));
    await this.#listen();
  }

  async close(): Promise<void> {
    this.breakLine();
    this.#http.closeAllConnections();
    await this.#io.close();
  }

  /** Gives a command; it is sent again after every attach until it ends. */
  give(command: Command): void {
    this.#open.push(command);
    this.resend(command);
  }

  /** Sends a command again to a trainer that already has it. */
  resend({ commandId, runId, action }: Command): void {
    this.#socket?.emit('command', { commandId, runId, action }, () => this.acknowledged.push(commandId));
  }

  /** The events that end a command. */
  endsOf(commandId: string): WireEvent[] {
    return this.events.filter((event) => 'commandId' in event && event.commandId === commandId);
  }

  has(type: WireEvent['type'], after = 0): boolean {
    return this.events.some((event) => event.type === type && event.seq > after);
  }

  /** Waits for `count` more events. */
  async more(count: number): Promise<void> {
    const wanted = this.lastSeq + count;
    await until(`${count} more events from the trainer`, () => this.lastSeq >= wanted, 120_000);
  }

  async #listen(): Promise<void> {
    this.#http = createServer();
    this.#http.on('connection', (line: TcpSocket) => {
      this.#lines.add(line);
      line.once('close', () => this.#lines.delete(line));
    });
    this.#io = new Server(this.#http, {
      maxHttpBufferSize: 32 * 1024 * 1024,
      parser: tolerantParser,
      pingInterval: 1000,
    });
    const trainers = this.#io.of('/trainer');
    trainers.use((socket, next) => {
      const { token, protocol } = socket.handshake.auth as { token?: unknown; protocol?: unknown };
      if (!this.refusesTokens && token !== this.token) this.faults.push('The token differs from the given one.');
      if (protocol !== 2) this.faults.push(`The trainer speaks protocol ${String(protocol)}.`);
      if (!this.refusesTokens) return next();
      this.refusedConnections++;
      const data = { code: 'unauthorized', message: 'The trainer token is wrong.' };
      next(Object.assign(new Error(data.message), { data }));
    });
    trainers.on('connection', (socket) => {
      socket.on('attach', (message: unknown, ack: (answer: unknown) => void) => this.#attach(socket, message, ack));
      socket.on('events', (message: unknown, ack: (answer: unknown) => void) => this.#take(socket, message, ack));
      socket.on('busy', (_message: unknown, ack?: (answer: unknown) => void) => ack?.({ ok: true }));
    });
    this.#http.listen(this.#port, '127.0.0.1');
    await once(this.#http, 'listening');
    this.#port = (this.#http.address() as { port: number }).port;
  }

  #attach(socket: Socket, message: unknown, ack: (answer: unknown) => void): void {
    const mood = this.moods.attach.shift() ?? {};
    if (mood.breakLine) return void socket.conn.close();
    if (mood.refuse) return ack({ ok: false, error: { ...mood.refuse, message: 'Refused on purpose.' } });
    const parsed = Attach.safeParse(message);
    if (!parsed.success) return void this.faults.push(`attach is invalid: ${parsed.error.message}`);
    const attach = parsed.data;
    const before = this.attaches.at(-1);
    if (before?.runId === attach.runId) {
      if (attach.secret !== before.secret) this.faults.push('It reattached with another secret.');
      if (!isDeepStrictEqual(attach.run, before.run))
        this.faults.push('It reattached with another description of its run.');
      if (attach.acknowledgedSeq > this.lastSeq)
        this.faults.push(`It says that ${attach.acknowledgedSeq} events were acknowledged, of ${this.lastSeq}.`);
    }
    this.attaches.push(attach);
    this.#socket = socket;
    ack({ ok: true, lastSeq: this.lastSeq, nextSeries: Math.max(-1, ...this.#series.keys()) + 1 });
    for (const command of this.#open) this.resend(command);
  }

  #take(socket: Socket, message: unknown, ack: (answer: unknown) => void): void {
    const mood = this.moods.events.shift() ?? {};
    if (mood.breakLine === 'before') return this.breakLine();
    if (mood.refuse) {
      const { lastSeq, ...error } = mood.refuse;
      return ack({
        ok: false,
        error: { ...error, message: 'Refused on purpose.' },
        ...(lastSeq !== undefined && { lastSeq }),
      });
    }
    if (socket !== this.#socket) return;
    let events: readonly WireEvent[];
    try {
      const read = readEvents(message);
      events = read.events;
      for (const { seq, problem } of read.problems) this.faults.push(`event ${seq}: ${problem}`);
    } catch (error) {
      this.faults.push(`A batch is invalid: ${error instanceof Error ? error.message : String(error)}`);
      return ack({ ok: false, error: { code: 'invalid', message: this.faults.at(-1), retry: false } });
    }
    for (const event of events) {
      if (event.seq > this.lastSeq + 1)
        return ack({ ok: false, lastSeq: this.lastSeq, error: { code: 'gap', message: 'A gap.', retry: true } });
      if (event.seq <= this.lastSeq) this.#compare(event);
      else this.#store(event);
    }
    if (mood.breakLine === 'after') return this.breakLine();
    const problems = [{ seq: this.lastSeq, series: null, problem: 'An invented problem.' }];
    ack({ ok: true, lastSeq: this.lastSeq, ...(mood.problem && { problems }) });
  }

  #compare(event: WireEvent): void {
    if (!isDeepStrictEqual(event, this.events[event.seq - 1]))
      this.faults.push(`Event ${event.seq} is another one when it is sent again.`);
  }

  #store(event: WireEvent): void {
    const before = this.events.at(-1);
    if (!before && event.type !== 'run_started') this.faults.push(`The first event is ${event.type}, not run_started.`);
    if (before && event.step < before.step)
      this.faults.push(`Event ${event.seq} goes back from step ${before.step} to ${event.step}.`);
    if (before && isLastWord(before)) this.faults.push(`Event ${event.seq} follows the last event.`);
    if (isWireMetricEvent(event)) {
      const unknown = event.series.find((number) => !this.#series.has(number));
      if (unknown !== undefined) this.faults.push(`Event ${event.seq} has series ${unknown}, which was not declared.`);
    } else if ('series' in event) for (const { number, name } of event.series ?? []) this.#series.set(number, name);
    if ('commandId' in event) this.#open = this.#open.filter(({ commandId }) => commandId !== event.commandId);
    this.events.push(event);
  }
}
