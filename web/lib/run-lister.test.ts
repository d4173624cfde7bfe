import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { RunSummary } from '@plumbline/shared/run';
import { ListedRun } from '@plumbline/shared/run-list';
import { RunLister, type ListHub, type ListQuery } from './run-lister';

const run = (runId: string, over: Partial<ListedRun> = {}): ListedRun =>
  ListedRun.parse({
    ...{
      runId,
      description: { name: runId },
      parent: null,
      state: 'finished',
      reason: '',
      trainer: null,
      createdMs: 1,
    },
    ...{ trainerConnected: false, startedMs: 1, endedMs: 1, lastStep: 0, lastSeq: 0, revision: 1 },
    overview: { lastSeq: 0, series: [], changes: [] },
    ...over,
  });

/** A hub with these runs, in this order. */
class Hub implements ListHub {
  runs: ListedRun[] = [];
  asked: ListQuery[] = [];
  isAway = false;
  tell: (run: RunSummary) => void = () => undefined;
  runPage(query: ListQuery) {
    this.asked.push(query);
    if (this.isAway) return Promise.reject(new Error('The hub does not answer.'));
    const { cursor, limit = 1000, run: only } = query;
    const found = only ? this.runs.filter(({ runId }) => only.includes(runId)) : this.runs;
    const from = cursor === undefined ? 0 : Number(cursor);
    const next = from + limit < found.length ? String(from + limit) : null;
    return Promise.resolve({ runs: found.slice(from, from + limit), next, total: found.length, going: 0 });
  }
  onProgress() {
    return () => undefined;
  }
  onRun(listener: (run: RunSummary) => void) {
    this.tell = listener;
    return () => undefined;
  }
  onRunDeleted = () => () => undefined;
  isGone = () => false;
}

describe('a list of runs', () => {
  let hub: Hub;
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('document', { hidden: false });
    hub = new Hub();
    hub.runs = Array.from({ length: 25 }, (_, i) => run(`run-${i + 10}`));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  const shown = (lister: RunLister): number => lister.runs?.length ?? -1;

  it('comes page by page, or whole on request', async () => {
    const lister = new RunLister(hub, { limit: 10 });
    lister.start();
    await vi.advanceTimersByTimeAsync(200);
    expect([shown(lister), lister.total, lister.hasMore, hub.asked.length]).toEqual([10, 25, true, 1]);
    await lister.more();
    await lister.more();
    await lister.more();
    await vi.advanceTimersByTimeAsync(200);
    expect([shown(lister), lister.hasMore, hub.asked.length]).toEqual([25, false, 3]);
    const whole = new RunLister(hub, { limit: 10 }, true);
    whole.start();
    await vi.advanceTimersByTimeAsync(200);
    expect(shown(whole)).toBe(25);
  });
  it('fetches as many as it shows when it starts again, and drops those that are gone', async () => {
    const lister = new RunLister(hub, { limit: 10 });
    lister.start()();
    lister.start();
    await vi.advanceTimersByTimeAsync(200);
    await lister.more();
    await vi.advanceTimersByTimeAsync(200);
    hub.runs.splice(3, 1);
    await lister.reload();
    await vi.advanceTimersByTimeAsync(200);
    expect(lister.runs!.map(({ runId }) => runId)).toEqual(hub.runs.slice(0, 20).map(({ runId }) => runId));
  });
  it('fetches running runs and runs with an old overview again, together, and no others', async () => {
    hub.runs = [run('run-going', { state: 'running' }), run('run-old', { lastSeq: 9 }), run('run-known')];
    const lister = new RunLister(hub, {});
    lister.start();
    await vi.advanceTimersByTimeAsync(200);
    hub.asked = [];
    hub.runs = [run('run-old', { lastSeq: 9, overview: { lastSeq: 9, series: [], changes: [] } }), run('run-known')];
    await vi.advanceTimersByTimeAsync(3000);
    expect(hub.asked.map(({ run: runIds }) => runIds)).toEqual([['run-going', 'run-old']]);
    // The running one was deleted without a message to the page.
    expect(lister.runs!.map(({ runId }) => runId)).toEqual(['run-old', 'run-known']);
    hub.asked = [];
    await vi.advanceTimersByTimeAsync(6000);
    expect(hub.asked).toEqual([]);
  });
  it('drops a run within a minute whose deletion it was not told', async () => {
    const lister = new RunLister(hub, {});
    lister.start();
    await vi.advanceTimersByTimeAsync(200);
    hub.runs.shift();
    await vi.advanceTimersByTimeAsync(61_000);
    expect(shown(lister)).toBe(24);
  });
  it('keeps its runs while the hub is away, and says why', async () => {
    const lister = new RunLister(hub, {});
    lister.start();
    await vi.advanceTimersByTimeAsync(200);
    hub.isAway = true;
    await lister.reload();
    await vi.advanceTimersByTimeAsync(200);
    expect([shown(lister), lister.error]).toEqual([25, 'The hub does not answer.']);
  });
  it('takes runs from messages if they match the query', async () => {
    const parent = { runId: 'run-10', checkpointId: 'step-1', step: 1 } as ListedRun['parent'];
    const [family, text, state] = [
      new RunLister(hub, { family: [hub.runs[0]!.runId] }),
      new RunLister(hub, { text: ' RUN-NEW' }),
      new RunLister(hub, { state: ['finished'] }),
    ];
    hub.runs = [hub.runs[0]!];
    for (const [lister, expected] of [
      [family, ['run-10', 'run-branch']],
      [text, ['run-10', 'run-new']],
      [state, ['run-10', 'run-branch']],
    ] as const) {
      const stop = lister.start();
      await vi.advanceTimersByTimeAsync(200);
      hub.tell(run('run-branch', { parent }));
      hub.tell(run('run-new', { state: 'running' }));
      await vi.advanceTimersByTimeAsync(200);
      expect(lister.runs!.map(({ runId }) => runId)).toEqual(expected);
      stop();
    }
  });
});
