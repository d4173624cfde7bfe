import type { ControlEventsResponse, HistoryResponse } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import type { HubClient } from './hub-client.js';

/**
 * Everything that a dashboard received live. The hub sends only durable events, so the store must contain all of it.
 */
export class Ledger {
  /** `seq|metric` -> value on the wire. */
  readonly values = new Map<string, unknown>();
  readonly controlSeqs = new Set<number>();
  /** Resolves when it has joined: later events are seen live. */
  readonly joined: Promise<void>;
  #hasJoined: () => void = () => undefined;

  constructor(
    private readonly client: HubClient,
    private readonly runId: RunId,
  ) {
    this.joined = new Promise((resolve) => (this.#hasJoined = resolve));
    client.socket.on('metrics', (batch) => {
      if (batch.runId !== runId) return;
      for (const event of batch.events)
        for (const [name, value] of Object.entries(event.metrics)) this.values.set(`${event.seq}|${name}`, value);
    });
    client.socket.on('control', ({ runId: of, event }) => {
      if (of === runId) this.controlSeqs.add(event.seq);
    });
    // A dying hub loses its rooms: join again on every connection.
    client.socket.on('connect', () => this.watch());
    if (client.socket.connected) this.watch();
  }

  private watch(): void {
    this.client.socket.emit('watch', { runId: this.runId }, (answer) => {
      if (!answer.ok) throw new Error(answer.error.message);
      this.#hasJoined();
    });
  }

  /** Differences between received and stored events. */
  async differences(): Promise<string[]> {
    const [history, control] = await Promise.all([
      this.client.history(this.runId),
      this.client.controlEvents(this.runId),
    ]);
    const stored = storedValues(history);
    const wrong: string[] = [];
    for (const [key, value] of this.values)
      if (!stored.has(key)) wrong.push(`${key} was shown and is not stored`);
      else if (stored.get(key) !== value)
        wrong.push(`${key} was shown as ${String(value)}, stored ${String(stored.get(key))}`);
    const storedControl = new Set(control.events.map(({ seq }) => seq));
    for (const seq of this.controlSeqs)
      if (!storedControl.has(seq)) wrong.push(`event ${seq} was shown and is not stored`);
    return [...wrong, ...holes(history, control)];
  }
}

function storedValues(history: HistoryResponse): Map<string, unknown> {
  const stored = new Map<string, unknown>();
  for (const [name, { seqs, values }] of Object.entries(history.series))
    seqs.forEach((seq, index) => stored.set(`${seq}|${name}`, values[index]));
  return stored;
}

/** Event numbers from 1 to the last that are missing, or are twice in a series or in the control events. */
export function holes(history: HistoryResponse, control: ControlEventsResponse): string[] {
  const wrong: string[] = [];
  const all = new Set<number>();
  const take = (seqs: readonly number[], where: string): void => {
    if (new Set(seqs).size !== seqs.length) wrong.push(`${where} holds an event twice`);
    seqs.forEach((seq) => all.add(seq));
  };
  for (const [name, { seqs }] of Object.entries(history.series)) take(seqs, name);
  take(
    control.events.map(({ seq }) => seq),
    'the control events',
  );
  for (let seq = 1; seq <= history.lastSeq; seq++) if (!all.has(seq)) wrong.push(`event ${seq} is missing`);
  return wrong;
}
