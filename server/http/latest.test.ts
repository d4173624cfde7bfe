import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HistoryResponse } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import { aRunId, started, stepped, TestHub } from '../../test/support/test-hub.js';

let hub: TestHub;
let runId: RunId;
const steps = 5000;
const names = ['train/loss', 'drift/a', 'drift/b', 'once/early', 'constructor'];
beforeAll(async () => {
  hub = await TestHub.start();
  runId = aRunId();
  const trainer = await hub.attached(runId);
  for (let from = 2; from <= steps; from += 999) {
    const answer = await trainer.emitWithAck('events', {
      events: [
        ...(from === 2 ? [started(1, names)] : []),
        ...Array.from({ length: Math.min(999, steps - from + 1) }, (_, i) => {
          const seq = from + i;
          const isProbe = seq % 500 === 0;
          const values = {
            'train/loss': seq === steps ? ('NaN' as const) : 1 / seq,
            ...(isProbe && { 'drift/a': seq, 'drift/b': -seq }),
            ...(seq === 7 && { 'once/early': 7, constructor: 8 }),
          };
          return stepped(seq, values, names);
        }),
      ],
    });
    expect(answer).toMatchObject({ ok: true });
  }
});
afterAll(() => hub.remove());

const latest = async (query: string): Promise<HistoryResponse> => hub.get(`/runs/${runId}/latest?${query}`);
const points = ({ series }: HistoryResponse) =>
  Object.entries(series).map(([name, { steps, seqs, values }]) => [name, steps, seqs, values]);

it('the last points come wherever they lie, by name and by group, and nothing else', async () => {
  const answer = await latest('metric=train/loss&metric=drift/*&metric=once/early&metric=constructor&metric=nowhere/x');
  expect(answer.lastSeq).toBe(steps);
  expect(points(answer).sort()).toEqual([
    ['constructor', [7], [7], [8]],
    ['drift/a', [5000], [5000], [5000]],
    ['drift/b', [5000], [5000], [-5000]],
    ['once/early', [7], [7], [7]],
    ['train/loss', [5000], [5000], ['NaN']],
  ]);
});
it('the series of a run are found by a group of all', async () => {
  expect(Object.keys((await latest('metric=*')).series).sort()).toEqual([
    ...['constructor', 'drift/a', 'drift/b', 'once/early', 'run/wall_time_ms', 'train/loss'],
  ]);
});
it.each(['', 'metric=', `metric=${'x'.repeat(300)}`])('a question without names is refused: %s', async (query) => {
  expect((await hub.request('GET', `/runs/${runId}/latest?${query}`)).status).toBe(400);
});
