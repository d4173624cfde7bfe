import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RunDescription } from '@plumbline/shared/run-description';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import { smallAnswerValues } from '@plumbline/shared/request-limits';
import type { HistoryResponse } from '@plumbline/shared/http';
import type { SeriesResponse } from '@plumbline/shared/series';
import type { MetricBatch } from '@plumbline/shared/socket';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import { RunFeed, type FeedListener, type FeedTransport, type HistoryRange } from './run-feed';
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
  metrics: { 'train/loss': 100 - seq, 'shift/kl': 100 - seq },
});
const batch = (fromSeq: number, toSeq: number): MetricBatch => ({
  runId,
  fromSeq,
  toSeq,
  events: Array.from({ length: toSeq - fromSeq }, (_, index) => event(fromSeq + 1 + index)),
});

/** A hub whose durable history ends at `stored`. It answers when the test says so. */
class ScriptedHub implements FeedTransport {
  stored = 0;
  listener!: FeedListener;
  asked: HistoryRange[] = [];
  askedLatest: (readonly string[])[] = [];
  watched: (readonly string[])[] = [];
  failNext = 0;
  #answers: (() => void)[] = [];

  listen(_runId: RunId, listener: FeedListener): () => void {
    this.listener = listener;
    return () => undefined;
  }
  async watch(_runId: RunId, series: readonly string[]): Promise<{ run: RunSummary; lastSeq: number }> {
    this.watched.push(series);
    return { run: summary(this.stored), lastSeq: this.stored };
  }
  unwatch(): void {}
  async history(_runId: RunId, range: HistoryRange): Promise<HistoryResponse> {
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
    const series = Object.fromEntries(
      range.metrics.map((name) => [name, { seqs, steps: seqs, values, bucketSteps: 0 }] as const),
    );
    return { runId, lastSeq: this.stored, series };
  }
  async latest(_runId: RunId, names: readonly string[]): Promise<HistoryResponse> {
    this.askedLatest.push(names);
    const [seqs, values] = [[this.stored], [100 - this.stored]];
    const series = Object.fromEntries(
      names.map((name) => [name, { seqs, steps: seqs, values, bucketSteps: 0 }] as const),
    );
    return { runId, lastSeq: this.stored, series };
  }
  async series(): Promise<SeriesResponse> {
    return { runId, lastSeq: this.stored, series: [] };
  }
  async events(): Promise<{ runId: RunId; lastSeq: number; events: [] }> {
    return { runId, lastSeq: this.stored, events: [] };
  }
  async commands(): Promise<[]> {
    return [];
  }
  /** Answers the waiting history requests with what is stored now. */
  async answer(): Promise<void> {
    await vi.advanceTimersByTimeAsync(0);
    for (const resolve of this.#answers.splice(0)) resolve();
    await vi.advanceTimersByTimeAsync(0);
  }
}

function heldSeqs(store: RunStore, name = 'train/loss'): number[] {
  const loss = store.buffer(name);
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
    store.demand.draw(['train/loss']);
  });
  afterEach(() => {
    feed.close();
    vi.useRealTimers();
  });

  it('replays live values that came while history was fetched, without gaps or repeats', async () => {
    hub.stored = 10;
    hub.listener.connected();
    await vi.advanceTimersByTimeAsync(0);
    hub.listener.metrics(batch(8, 12)); // overlaps the end of the fetched history
    hub.listener.metrics(batch(12, 15));
    expect(heldSeqs(store)).toEqual([]);
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(15));
    expect(store.feedPhase).toBe('live');
    hub.listener.metrics(batch(15, 17));
    expect(heldSeqs(store)).toEqual(oneTo(17));
  });

  it('fetches again if the held batches begin above the end of the fetched history', async () => {
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

  it('fetches the events that a jump in the live numbers left out, from its cursor on', async () => {
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

  it('does not take the numbers of control events for a gap', async () => {
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

  it('counts the number of a large event’s notice, and does not treat it as a control event', async () => {
    hub.stored = 3;
    hub.listener.connected();
    await hub.answer();
    hub.listener.control({ type: 'examples', seq: 4, step: 3, wallTimeMs: 4, task: 'counting', count: 24 });
    hub.listener.metrics(batch(4, 6));
    expect(store.feedPhase).toBe('live');
    expect(hub.asked.length).toBe(1);
    expect(store.controlEvents).toEqual([]);
  });

  it('sees a gap before a control event', async () => {
    hub.stored = 3;
    hub.listener.connected();
    await hub.answer();
    hub.stored = 6;
    hub.listener.control({ type: 'run_resumed', seq: 6, step: 5, wallTimeMs: 6 });
    expect(store.feedPhase).toBe('catching_up');
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(6));
  });

  it('recovers when a control event overtakes a batch from another hub: each value comes once', async () => {
    hub.stored = 3;
    hub.listener.connected();
    await hub.answer();
    hub.listener.control({ type: 'run_resumed', seq: 7, step: 6, wallTimeMs: 7 });
    expect(store.feedPhase).toBe('catching_up');
    hub.listener.metrics(batch(3, 6));
    hub.stored = 6;
    await hub.answer();
    hub.listener.metrics(batch(7, 9));
    expect(store.feedPhase).toBe('live');
    expect(heldSeqs(store)).toEqual([1, 2, 3, 4, 5, 6, 8, 9]);
    expect(store.controlEvents.filter(({ seq }) => seq === 7)).toHaveLength(1);
  });

  it('rejoins after a lost connection and closes the gap', async () => {
    hub.stored = 4;
    hub.listener.connected();
    await hub.answer();
    hub.stored = 20;
    hub.listener.connected();
    await hub.answer();
    expect(hub.watched).toHaveLength(2);
    expect(heldSeqs(store)).toEqual(oneTo(20));
  });

  it('fetches again when the hub reports skipped live data', async () => {
    hub.stored = 4;
    hub.listener.connected();
    await hub.answer();
    hub.stored = 7;
    hub.listener.lagged();
    await hub.answer();
    expect(heldSeqs(store)).toEqual(oneTo(7));
  });

  it('reports its failure, retries by itself and keeps the values that came meanwhile', async () => {
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

  it('retries at once when the hub reports that the run exists now', async () => {
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
      const [phase, asked, watches] = [store.feedPhase, hub.asked.length, hub.watched.length];
      hub.listener.deleted();
      expect(store.isDeleted).toBe(true);
      await hub.answer();
      await vi.advanceTimersByTimeAsync(60_000);
      expect([store.feedPhase, hub.asked.length, hub.watched.length]).toEqual([phase, asked, watches]);
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

  describe('of series that are needed on demand', () => {
    const open = async (stored: number): Promise<void> => {
      hub.stored = stored;
      hub.listener.connected();
      await hub.answer();
    };
    /** Waits until the feed has seen the new demand. */
    const seen = async (): Promise<void> => void (await vi.advanceTimersByTimeAsync(50));

    it('watches and fetches the drawn series, together, and nothing else', async () => {
      await open(10);
      expect(hub.watched).toEqual([['train/loss']]);
      store.demand.draw(['shift/kl', 'train/loss']);
      store.demand.draw(['shift/js']);
      await seen();
      await hub.answer();
      expect(hub.watched.at(-1)).toEqual(['shift/js', 'shift/kl', 'train/loss']);
      expect(hub.asked.map(({ metrics }) => metrics)).toEqual([['train/loss'], ['shift/kl', 'shift/js']]);
      expect(store.isLoading(['shift/kl', 'shift/js', 'train/loss'])).toBe(false);
    });

    it('has no gap or repeat in a series that comes into sight while the run continues', async () => {
      await open(10);
      store.demand.draw(['shift/kl']);
      await seen();
      hub.listener.metrics(batch(10, 14));
      hub.stored = 12;
      await hub.answer();
      hub.listener.metrics(batch(14, 15));
      expect(heldSeqs(store, 'shift/kl')).toEqual(oneTo(15));
      expect(heldSeqs(store)).toEqual(oneTo(15));
    });

    it('has no gap in a series that comes into sight while the feed catches up', async () => {
      await open(4);
      hub.listener.lagged();
      await vi.advanceTimersByTimeAsync(0);
      store.demand.draw(['shift/kl']);
      await seen();
      hub.listener.metrics(batch(4, 9));
      hub.stored = 6;
      await hub.answer();
      await hub.answer();
      expect(heldSeqs(store, 'shift/kl')).toEqual(oneTo(9));
      expect(heldSeqs(store)).toEqual(oneTo(9));
    });

    it('keeps a series up to date for a minute after it went out of sight, and then drops it', async () => {
      await open(4);
      const release = store.demand.draw(['shift/kl']);
      await seen();
      await hub.answer();
      release();
      await vi.advanceTimersByTimeAsync(59_000);
      expect([hub.watched.at(-1), heldSeqs(store, 'shift/kl')]).toEqual([['shift/kl', 'train/loss'], oneTo(4)]);
      await vi.advanceTimersByTimeAsync(2000);
      expect([hub.watched.at(-1), heldSeqs(store, 'shift/kl')]).toEqual([['train/loss'], []]);
      hub.stored = 6;
      store.demand.draw(['shift/kl']);
      await seen();
      await hub.answer();
      expect(heldSeqs(store, 'shift/kl')).toEqual(oneTo(6));
      expect(hub.asked.at(-1)).not.toHaveProperty('fromStep');
    });

    it('fetches last values by group, and again when live data was skipped', async () => {
      store.demand.showLast(['drift/*', 'energy/joules']);
      await open(4);
      expect(hub.watched).toEqual([['drift/*', 'energy/joules', 'train/loss']]);
      expect(hub.askedLatest).toEqual([['drift/*', 'energy/joules']]);
      hub.stored = 9;
      hub.listener.lagged();
      await hub.answer();
      expect(store.series.get('energy/joules')!.lastValue).toBe(91);
    });

    it('fetches the series of a chart without waiting for last values or other series', async () => {
      await open(4);
      let answerLatest = (): void => undefined;
      const latest = hub.latest.bind(hub);
      hub.latest = async (id, names) => {
        await new Promise<void>((resolve) => (answerLatest = resolve));
        return latest(id, names);
      };
      store.demand.showLast(['drift/*', 'energy/joules']);
      store.demand.draw(['held_out/mean/accuracy']);
      await seen();
      store.demand.draw(['shift/kl']);
      await seen();
      expect(hub.asked.slice(1).map(({ metrics }) => metrics)).toEqual([['held_out/mean/accuracy'], ['shift/kl']]);
      await hub.answer();
      expect(heldSeqs(store, 'shift/kl')).toEqual(oneTo(4));
      expect(store.isLoading(['shift/kl'])).toBe(false);
      answerLatest();
      await seen();
      expect(store.series.get('energy/joules')!.lastValue).toBe(96);
      expect(hub.askedLatest).toEqual([['drift/*', 'energy/joules']]);
    });

    it('fetches the course of a series whose last value is shown', async () => {
      await open(4);
      store.demand.showLast(['shift/kl']);
      await seen();
      expect(heldSeqs(store, 'shift/kl')).toEqual([4]);
      store.demand.draw(['shift/kl']);
      await seen();
      await hub.answer();
      expect(heldSeqs(store, 'shift/kl')).toEqual(oneTo(4));
      expect(store.isLoading(['shift/kl'])).toBe(false);
    });

    it('fetches a course again that only its last value was needed of meanwhile', async () => {
      await open(4);
      store.demand.showLast(['shift/kl']);
      const release = store.demand.draw(['shift/kl']);
      await seen();
      await hub.answer();
      release();
      await vi.advanceTimersByTimeAsync(61_000);
      hub.stored = 404;
      hub.listener.metrics(batch(4, 404));
      expect(heldSeqs(store, 'shift/kl').length).toBeLessThan(200);
      store.demand.draw(['shift/kl']);
      await seen();
      await hub.answer();
      expect(heldSeqs(store, 'shift/kl')).toEqual(oneTo(404));
    });

    it('retries if the history of a series could not be fetched', async () => {
      await open(4);
      hub.failNext = 1;
      store.demand.draw(['shift/kl']);
      await seen();
      await hub.answer();
      expect(store.feedPhase).toBe('failed');
      await vi.advanceTimersByTimeAsync(300);
      await hub.answer();
      expect([store.feedPhase, heldSeqs(store, 'shift/kl')]).toEqual(['live', oneTo(4)]);
    });

    it.each([
      ...[1, 12, 13, 24, 25, 40, 111, 112, 115, 135, 215, 600].map((count) => ({ count, longNames: 0 })),
      // The first address is full before it has as many names as other first requests.
      { count: 30, longNames: 6 },
    ])(
      'asks for $count series in small answers only, which do not wait at the hub for large ones',
      async ({ count, longNames }) => {
        await open(4);
        const nameOf = (i: number): string =>
          `drift/${String(i).padStart(3, '0')}${i < longNames ? 'ä'.repeat(190) : ''}`;
        const names = Array.from({ length: count }, (_, i) => nameOf(i));
        hub.asked.length = 0;
        store.demand.draw(names);
        await seen();
        await hub.answer();
        expect(hub.asked.flatMap(({ metrics }) => metrics)).toEqual(names);
        for (const { metrics, maxPoints } of hub.asked)
          expect(metrics.length * maxPoints).toBeLessThanOrEqual(smallAnswerValues);
      },
    );

    it('fetches the first of very many series at full resolution, the rest more coarsely, and watches them by group', async () => {
      await open(4);
      const names = Array.from({ length: 600 }, (_, i) => `drift/layers.${i}`);
      store.demand.draw(names);
      await seen();
      await hub.answer();
      const [, first, ...others] = hub.asked;
      expect([first!, ...others].flatMap(({ metrics }) => metrics)).toEqual(names);
      expect([first!.metrics.length, first!.maxPoints]).toEqual([12, 4000]);
      for (const { metrics, maxPoints } of others) {
        expect(metrics.length).toBeLessThanOrEqual(100);
        expect(maxPoints).toBe(300);
      }
      expect(hub.watched.at(-1)).toEqual(['drift/*', 'train/*']);
    });
  });
});
