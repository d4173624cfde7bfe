import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import fc from 'fast-check';
import { RunDescription } from '@plumbline/shared/run-description';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import type { HistoryResponse } from '@plumbline/shared/http';
import type { SeriesResponse } from '@plumbline/shared/series';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import { RunFeed, type FeedListener, type FeedTransport, type HistoryRange } from './run-feed';
import { RunStore } from './run-store';

const runId = RunId.parse('run-1');
const names = ['a', 'b', 'c'] as const;
type Name = (typeof names)[number];
/** Series `a` has a value at every event, `b` at every second, `c` at every third. */
const has = (name: Name, seq: number): boolean => seq % (names.indexOf(name) + 1) === 0;

/** A hub whose answers come when the test says so, in any order. It sends live the series watched at that moment. */
class Hub implements FeedTransport {
  stored = 0;
  sent = 0;
  watched: readonly string[] = [];
  isLagging = false;
  listener!: FeedListener;
  readonly waiting: (() => void)[] = [];
  #questions = 0;
  #taken = 0;

  listen(_runId: RunId, listener: FeedListener): () => void {
    this.listener = listener;
    return () => undefined;
  }
  unwatch(): void {}
  #later<T>(answer: () => T): Promise<T> {
    return new Promise((resolve) => this.waiting.push(() => resolve(answer())));
  }
  watch(_runId: RunId, series: readonly string[]): Promise<{ run: RunSummary; lastSeq: number }> {
    const question = ++this.#questions;
    const run = {
      ...{ runId, description: RunDescription.parse({ name: 'test' }), parent: null, state: 'running' as const },
      ...{ reason: '', trainer: null, trainerConnected: true, createdMs: 0, startedMs: 0, endedMs: null },
      ...{ lastStep: this.stored, lastSeq: this.stored },
    };
    return this.#later(() => {
      // A socket keeps the order of its messages.
      if (question > this.#taken) [this.#taken, this.watched] = [question, series];
      return { run: { ...run, lastSeq: this.stored, lastStep: this.stored }, lastSeq: this.stored };
    });
  }
  async history(_runId: RunId, { metrics, fromStep = 0 }: HistoryRange): Promise<HistoryResponse> {
    // The hub reads at one moment and answers at a later one.
    const [lastSeq, entries] = [
      this.stored,
      metrics.map((name) => [name, this.#course(name as Name, fromStep)] as const),
    ];
    return this.#later(() => ({ runId, lastSeq, series: Object.fromEntries(entries) }));
  }
  #course(name: Name, fromStep: number) {
    const seqs = durable(name, this.stored).filter((seq) => seq >= fromStep);
    return { seqs, steps: seqs, values: seqs, bucketSteps: 0 };
  }
  latest(_runId: RunId, asked: readonly string[]): Promise<HistoryResponse> {
    const lastSeq = this.stored;
    const series = Object.fromEntries(
      asked.map((name) => {
        const seqs = durable(name as Name, lastSeq).slice(-1);
        return [name, { seqs, steps: seqs, values: seqs, bucketSteps: 0 }];
      }),
    );
    return this.#later(() => ({ runId, lastSeq, series }));
  }
  async series(): Promise<SeriesResponse> {
    return { runId, lastSeq: this.stored, series: [] };
  }
  events() {
    const lastSeq = this.stored;
    return this.#later(() => ({ runId, lastSeq, events: [] }));
  }
  async commands(): Promise<[]> {
    return [];
  }

  /** The connection broke: its requests are not answered and its watches end. */
  leave(): void {
    this.waiting.length = 0;
    this.watched = [];
    this.#taken = this.#questions;
    this.sent = this.stored;
  }

  /** Sends the stored events that were not sent yet. */
  flush(): void {
    if (this.sent === this.stored) return;
    const [fromSeq, toSeq] = [this.sent, this.stored];
    this.sent = toSeq;
    if (this.isLagging) return;
    const events = Array.from({ length: toSeq - fromSeq }, (_, i) => fromSeq + 1 + i).flatMap((seq): MetricEvent[] => {
      const metrics = Object.fromEntries(
        names.filter((n) => this.watched.includes(n) && has(n, seq)).map((n) => [n, seq]),
      );
      const event = { type: 'probe_completed', seq, step: seq, wallTimeMs: seq, stage: 0, metrics } as const;
      return Object.keys(metrics).length > 0 ? [event] : [];
    });
    this.listener.metrics({ runId, fromSeq, toSeq, events });
  }
}
const durable = (name: Name, stored: number): number[] =>
  Array.from({ length: stored }, (_, i) => i + 1).filter((seq) => has(name, seq));

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('store' as const), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('answer' as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('answer all' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('draw' as const), name: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('show last' as const), name: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hide last' as const), which: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(50, 50, 300, 61_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lag' as const, 'reconnect' as const) }) },
);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('has all stored values of every drawn series, each once, in every order of events', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 60, size: 'max' }), async (actions) => {
      const [hub, store] = [new Hub(), new RunStore()];
      const feed = new RunFeed(runId, hub, store);
      const drawn: { name: Name; release: () => void }[] = [];
      const lasts: (() => void)[] = [];
      const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
      hub.listener.connected();
      for (const each of actions) {
        if (each.kind === 'store') hub.stored += each.count;
        else if (each.kind === 'flush') hub.flush();
        else if (each.kind === 'answer') hub.waiting.splice(each.which % Math.max(1, hub.waiting.length), 1)[0]?.();
        else if (each.kind === 'answer all') for (const answer of hub.waiting.splice(0)) answer();
        else if (each.kind === 'draw') drawn.push({ name: each.name, release: store.demand.draw([each.name]) });
        else if (each.kind === 'leave') drawn.splice(each.which % Math.max(1, drawn.length), 1)[0]?.release();
        else if (each.kind === 'show last') lasts.push(store.demand.showLast([each.name]));
        else if (each.kind === 'hide last') lasts.splice(each.which % Math.max(1, lasts.length), 1)[0]?.();
        else if (each.kind === 'wait') await vi.advanceTimersByTimeAsync(each.ms);
        else if (each.kind === 'lag') {
          // The hub skips a slow browser, and says so when it sends again.
          hub.isLagging = true;
          hub.stored++;
          hub.flush();
          hub.isLagging = false;
          hub.listener.lagged();
        } else {
          hub.leave();
          hub.listener.connected();
        }
        await settle();
      }
      hub.stored++;
      hub.flush();
      for (let round = 0; round < 40; round++) {
        for (const answer of hub.waiting.splice(0)) answer();
        await vi.advanceTimersByTimeAsync(200);
      }
      expect(store.feedPhase).toBe('live');
      for (const { name } of drawn) {
        const { seqs, length } = store.buffer(name);
        expect([name, [...seqs.subarray(0, length)]]).toEqual([name, durable(name, hub.stored)]);
        expect(store.isLoading([name])).toBe(false);
      }
      feed.close();
    }),
    { numRuns: 300 },
  );
});
