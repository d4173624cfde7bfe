import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RunDescription } from '@plumbline/shared/run-description';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import type { HistoryResponse } from '@plumbline/shared/http';
import type { MetricBatch } from '@plumbline/shared/socket';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import { RunFeed, type FeedListener, type FeedTransport } from './run-feed';
import { ApiError } from './api';
import { RunStore } from './run-store';

const runId = RunId.parse('run-1');
const summary = (lastSeq: number): RunSummary => ({
  runId,
  description: RunDescription.parse({ name: 'test' }),
  parent: null,
  state: 'running',
  reason: '',
  trainer: null,
  trainerConnected: true,
  createdMs: 0,
  startedMs: 0,
  endedMs: null,
  lastStep: lastSeq,
  lastSeq,
});
const event = (seq: number): MetricEvent => ({
  type: 'step_completed',
  seq,
  step: seq,
  wallTimeMs: seq,
  stage: 0,
  metrics: { 'train/loss': 100 - seq },
});
const batch = (fromSeq: number, toSeq: number): MetricBatch => ({
  runId,
  fromSeq,
  toSeq,
  events: Array.from({ length: toSeq - fromSeq }, (_, index) => event(fromSeq + 1 + index)),
});

/** A hub whose durable history ends at `stored`, and which answers only when the test lets it. */
class ScriptedHub implements FeedTransport {
  stored = 0;
  listener!: FeedListener;
  asked: { fromStep?: number }[] = [];
  watches = 0;
  failNext = 0;
  /** More points a series would be too many values. */
  mostPoints = Infinity;
  #answers: (() => void)[] = [];

  listen(_runId: RunId, listener: FeedListener): () => void {
    this.listener = listener;
    return () => undefined;
  }
  async watch(): Promise<{ run: RunSummary; lastSeq: number }> {
    this.watches++;
    return { run: summary(this.stored), lastSeq: this.stored };
  }
  unwatch(): void {}
  async history(_runId: RunId, range: { fromStep?: number; maxPoints: number }): Promise<HistoryResponse> {
    if (range.maxPoints > this.mostPoints) throw new ApiError('invalid', 'This would be more than 4000000 values.');
    this.asked.push(range);
    await new Promise<void>((resolve) => this.#answers.push(resolve));
    if (this.failNext > 0) {
      this.failNext--;
      throw new Error('The hub does not answer.');
    }
    const seqs = Array.from({ length: this.stored }, (_, index) => index + 1).filter(
      (seq) => seq >= (range.fromStep ?? 0),
    );
    const values = seqs.map((seq) => 100 - seq);
    return { runId, lastSeq: this.stored, series: { 'train/loss': { seqs, steps: seqs, values, bucketSteps: 0 } } };
  }
  async events(): Promise<{ runId: RunId; lastSeq: number; events: [] }> {
    return { runId, lastSeq: this.stored, events: [] };
  }
  async commands(): Promise<[]> {
    return [];
  }
  /** Lets the history requests that wait be answered, with what is stored now. */
  async answer(): Promise<void> {
    await vi.advanceTimersByTimeAsync(0);
    for (const resolve of this.#answers.splice(0)) resolve();
    await vi.advanceTimersByTimeAsync(0);
  }
}

function heldSeqs(store: RunStore): number[] {
  const loss = store.buffer('train/loss');
  return [...loss.seqs.subarray(0, loss.length)];
}
const oneTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

describe('RunFeed', () => {
  let hub: ScriptedHub;
  let store: RunStore;
  let feed: RunFeed;
  beforeEach(() => {
    vi.useFakeTimers();
    hub = new ScriptedHub();
    store = new RunStore();
    feed = new RunFeed(runId, hub, store);
  });
  afterEach(() => {
    feed.close();
    vi.useRealTimers();
  });

  it('replays what came live while history was fetched, without a hole and nothing twice', async () => {
    hub.stored = 10;
    hub.listener.connected();
    await vi.advanceTimersByTimeAsync(0);
    hub.listener.metrics(batch(8, 12)); // reaches below and above what history will answer
    hub.listener.metrics(batch(12, 15));
    expect(heldSeqs(store)).toEqual([]);
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(15));
    expect(store.feedPhase).toBe('live');
    hub.listener.metrics(batch(15, 17));
    expect(heldSeqs(store)).toEqual(oneTo(17));
  });

  it('opens a run of more values than one answer may have, coarser', async () => {
    hub.stored = 10;
    hub.mostPoints = 100;
    hub.listener.connected();
    await hub.answer();
    expect([heldSeqs(store), store.feedPhase]).toEqual([oneTo(10), 'live']);
    expect(hub.asked).toMatchObject([{ maxPoints: 60 }]);
  });
  it('says why where even the coarsest answer is refused', async () => {
    hub.mostPoints = 0;
    hub.listener.connected();
    await hub.answer();
    expect([store.feedPhase, store.feedError]).toMatchObject(['failed', { code: 'invalid' }]);
  });

  it('fetches again where what was held begins above what history answered', async () => {
    hub.stored = 5;
    hub.listener.connected();
    await vi.advanceTimersByTimeAsync(0);
    hub.listener.metrics(batch(8, 10));
    await hub.answer();
    expect(store.feedPhase).toBe('catching_up');
    hub.stored = 10;
    await vi.advanceTimersByTimeAsync(300);
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(10));
    expect(store.feedPhase).toBe('live');
  });

  it('fetches what a jump in the live numbers left out, from where it stands', async () => {
    hub.stored = 5;
    hub.listener.connected();
    await hub.answer();
    hub.listener.metrics(batch(5, 6));
    hub.stored = 9;
    hub.listener.metrics(batch(8, 9));
    expect(store.feedPhase).toBe('catching_up');
    hub.listener.metrics(batch(9, 11));
    await hub.answer();
    expect(hub.asked.at(-1)?.fromStep).toBe(6);
    expect(heldSeqs(store)).toEqual(oneTo(11));
    expect(store.feedPhase).toBe('live');
  });

  it('takes numbers that belong to control events for no gap', async () => {
    hub.stored = 3;
    hub.listener.connected();
    await hub.answer();
    hub.listener.metrics({ ...batch(3, 6), events: [event(4), event(6)] });
    hub.listener.control({ type: 'run_paused', seq: 7, step: 6, wallTimeMs: 7, reason: '' });
    hub.listener.metrics(batch(7, 9));
    expect(store.feedPhase).toBe('live');
    expect(hub.asked.length).toBe(1);
    expect(store.controlEvents.map(({ seq }) => seq)).toEqual([7]);
  });

  it('takes word of a large event for its number, and for no control event', async () => {
    hub.stored = 3;
    hub.listener.connected();
    await hub.answer();
    hub.listener.control({ type: 'examples', seq: 4, step: 3, wallTimeMs: 4, task: 'counting', count: 24 });
    hub.listener.metrics(batch(4, 6));
    expect(store.feedPhase).toBe('live');
    expect(hub.asked.length).toBe(1);
    expect(store.controlEvents).toEqual([]);
  });

  it('sees from a control event that something before it is missing', async () => {
    hub.stored = 3;
    hub.listener.connected();
    await hub.answer();
    hub.stored = 6;
    hub.listener.control({ type: 'run_resumed', seq: 6, step: 5, wallTimeMs: 6 });
    expect(store.feedPhase).toBe('catching_up');
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(6));
  });

  it('joins again after a lost connection and closes the hole', async () => {
    hub.stored = 4;
    hub.listener.connected();
    await hub.answer();
    hub.stored = 20;
    hub.listener.connected();
    await hub.answer();
    expect(hub.watches).toBe(2);
    expect(heldSeqs(store)).toEqual(oneTo(20));
  });

  it('fetches again when the hub says that live data was left out', async () => {
    hub.stored = 4;
    hub.listener.connected();
    await hub.answer();
    hub.stored = 7;
    hub.listener.lagged();
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(7));
  });

  it('says that it failed, tries again by itself and keeps what came meanwhile', async () => {
    hub.stored = 4;
    hub.failNext = 1;
    hub.listener.connected();
    await vi.advanceTimersByTimeAsync(0);
    hub.listener.metrics(batch(4, 6));
    await hub.answer();
    expect(store.feedPhase).toBe('failed');
    expect(String(store.feedError)).toContain('does not answer');
    await vi.advanceTimersByTimeAsync(300);
    await hub.answer();
    expect(store.feedPhase).toBe('live');
    expect(heldSeqs(store)).toEqual(oneTo(6));
  });

  it('tries again at once when the hub says that the run is there now', async () => {
    hub.failNext = 1;
    hub.listener.connected();
    await hub.answer();
    expect(store.feedPhase).toBe('failed');
    hub.stored = 2;
    hub.listener.run(summary(2));
    await hub.answer();
    expect(store.feedPhase).toBe('live');
    expect(heldSeqs(store)).toEqual([1, 2]);
  });

  it.each(['is followed', 'could not be fetched', 'is being fetched'])(
    'ends when the run is deleted that %s',
    async (how) => {
      hub.stored = 4;
      hub.failNext = how === 'could not be fetched' ? 1 : 0;
      hub.listener.connected();
      if (how === 'is being fetched') await vi.advanceTimersByTimeAsync(0);
      else await hub.answer();
      const [phase, asked, watches] = [store.feedPhase, hub.asked.length, hub.watches];
      hub.listener.deleted();
      expect(store.isDeleted).toBe(true);
      await hub.answer();
      await vi.advanceTimersByTimeAsync(60_000);
      expect([store.feedPhase, hub.asked.length, hub.watches]).toEqual([phase, asked, watches]);
    },
  );

  it('ignores an answer that a newer connection has overtaken', async () => {
    hub.stored = 4;
    hub.listener.connected();
    await vi.advanceTimersByTimeAsync(0);
    hub.listener.connected();
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(4));
    expect(store.feedPhase).toBe('live');
  });
});
