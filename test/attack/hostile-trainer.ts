import { protocolVersion } from '@plumbline/shared/socket';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { short } from './attack.js';
import { RawSocket, type Reply } from './raw-clients.js';
import type { Victim } from './victim.js';

const namespace = '/trainer';

/** A trainer with the right token that sends arbitrary text, even invalid JSON. */
export class HostileTrainer {
  readonly #numbers = new Map<string, number>();
  private constructor(readonly socket: RawSocket) {}

  /** Connects and joins the namespace. */
  static async open({ port, token }: Victim): Promise<HostileTrainer> {
    const socket = await RawSocket.open(port, { from: '127.0.0.1' });
    const joined = await socket.join(namespace, { token, protocol: protocolVersion });
    if (!joined.startsWith('40'))
      throw new Error(`A trainer with the right token is not let in: ${joined || socket.closed}`);
    return new HostileTrainer(socket);
  }

  attach(runId: string, run: object = {}, parent: unknown = null): Promise<Reply> {
    return this.ask('attach', { runId, run: { name: 'attack', ...run }, parent });
  }
  events(events: readonly unknown[]): Promise<Reply> {
    return this.ask('events', { events });
  }
  /** @param message a value, or raw text for the wire */
  ask(event: string, message: object | string, timeoutMs?: number): Promise<Reply> {
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    return this.socket.ask(namespace, event, text, timeoutMs);
  }
  close(): void {
    this.socket.close();
  }

  /** The first and last events of a run, as events `seq` and `seq` + 1. */
  whole(seq = 1): TrainerEvent[] {
    const at = { step: 0, wallTimeMs: 1_700_000_000_000 };
    return [
      {
        ...{ type: 'run_started', seq, ...at, baseline: {}, trainable: [] },
        trainer: { backend: 'attack', device: '', host: 'here', processId: 1, version: '1' },
        model: { name: 'none', groups: [], parameters: [], recipes: [] },
        selection: { kind: 'recipe', recipe: 'full' },
      },
      { type: 'run_finished', seq: seq + 1, ...at },
    ];
  }
  /** An ordinary step; its series should be declared. */
  step(seq: number, metrics: Record<string, unknown> = { 'train/loss': 1 / seq }) {
    const series = Object.keys(metrics).map((name) => this.#numberOf(name));
    const values = Object.values(metrics);
    return { type: 'step_completed', seq, step: seq, stage: 0, wallTimeMs: 1_700_000_000_000 + seq, series, values };
  }
  /** Declares series, as event `seq`. */
  declares(seq: number, names: readonly string[]) {
    const series = names.map((name) => ({ number: this.#numberOf(name), name }));
    return { type: 'series_declared', seq, step: 0, wallTimeMs: 1_700_000_000_000, series };
  }

  #numberOf(name: string): number {
    const number = this.#numbers.get(name) ?? this.#numbers.size;
    this.#numbers.set(name, number);
    return number;
  }
}

/** The fault of an answer that should be a refusal; null if it has a message and a code other than `internal`. */
export function notRefused(reply: Reply, ...codes: string[]): string | null {
  if (reply.kind !== 'answer')
    return `no answer came (${reply.kind === 'closed' ? `closed: ${reply.how}` : 'silence'})`;
  if (reply.ok) return 'it was accepted';
  // These codes blame the hub, but the sender is at fault.
  if (['internal', 'store_failed'].includes(reply.code)) return `it was answered "${reply.code}": ${reply.message}`;
  if (reply.message === '') return `it was refused as ${reply.code} without a message`;
  if (reply.message.length > 10_000) return `its refusal has ${reply.message.length} characters`;
  if (codes.length > 0 && !codes.includes(reply.code))
    return `it was refused as ${reply.code}: ${short(reply.message)}`;
  return null;
}

/**
 * The fault in the handling of a message beyond a connection's limits: it must be refused, or end the connection with
 * the reason in the hub's log.
 * @param bound the reason in the log
 */
export function notCutOff(reply: Reply, victim: Victim, bound: RegExp): string | null {
  if (reply.kind !== 'closed') return notRefused(reply);
  return bound.test(victim.logged) ? null : `the connection ends (${reply.how}), and the reason is nowhere`;
}

/** The fault of an answer that may be either; null if it was accepted or refused with a reason. */
export const neither = (reply: Reply): string | null =>
  reply.kind === 'answer' && reply.ok ? null : notRefused(reply);
