import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import type { RunId } from '@plumbline/shared/run';
import { RunListResponse } from '@plumbline/shared/run-list';
import {
  aCommand,
  aRunId,
  eventually,
  finished,
  started,
  stepped,
  TestHub,
  testTimeMs,
  type TrainerEnd,
} from '../../test/support/test-hub.js';

let hub: TestHub;
afterEach(() => hub.remove());

const list = async (query = ''): Promise<RunListResponse> => RunListResponse.parse(await hub.get(`/runs?${query}`));
/** The run in the list, once its overview is as asked. */
const listed = (runId: RunId, lastSeq: number): Promise<RunListResponse['runs'][number]> =>
  eventually(async () => {
    const run = (await list()).runs.find((one) => one.runId === runId);
    return run?.overview?.lastSeq === lastSeq ? run : null;
  });
async function send(trainer: TrainerEnd, events: unknown[]): Promise<void> {
  expect(await trainer.emitWithAck('events', { events } as never)).toMatchObject({ ok: true });
}
/** Files of overviews. */
function kept(): string[] {
  const folder = join(hub.config.dataDir, 'overviews');
  return existsSync(folder) ? readdirSync(folder) : [];
}
const isKept = () => eventually(() => Promise.resolve(kept().length === 1 || null));

it('a list brings the headline series of each run, as far as they have come', async () => {
  hub = await TestHub.start();
  const [runId, empty] = [aRunId(), aRunId()];
  await hub.attached(empty);
  const trainer = await hub.attached(runId);
  const names = ['train/loss', 'my/score'];
  await send(trainer, [
    started(1, names),
    stepped(2, { 'train/loss': 3, 'my/score': 1 }, names),
    stepped(3, { 'train/loss': 'NaN' }, names),
  ]);
  const { overview } = await listed(runId, 3);
  expect(overview!.series).toEqual([
    { name: 'train/loss', label: 'Loss', unit: 'nats', step: 3, value: 'NaN', steps: [2, 3], values: [3, 'NaN'] },
    { name: 'my/score', step: 2, value: 1, steps: [2], values: [1] },
  ]);
  expect((await listed(empty, 0)).overview!.series).toEqual([]);
});

it('the headlines of a foreign trainer are the series that it declared with a direction, also after a restart', async () => {
  hub = await TestHub.start();
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const gauges = Array.from({ length: 30 }, (_, i) => ({ number: i, name: `gpu/${i}` }));
  const series = [
    ...gauges,
    { number: 30, name: 'loss', label: 'Training loss', unit: 'nats', better: 'lower' },
    { number: 31, name: 'val/AR@100', better: 'higher' },
  ];
  const { series: _, ...start } = started(1, []) as Record<string, unknown>;
  await send(trainer, [
    { ...start, series },
    {
      ...{ type: 'step_completed', seq: 2, step: 1, wallTimeMs: testTimeMs, stage: 0 },
      ...{ series: series.map(({ number }) => number), values: series.map(({ number }) => number) },
    },
  ]);
  const headlines = async (): Promise<unknown> =>
    (await listed(runId, 2)).overview!.series.map(({ name, label, unit }) => [name, label, unit]);
  const expected = [
    ['loss', 'Training loss', 'nats'],
    ['val/AR@100', undefined, undefined],
    ['gpu/0', undefined, undefined],
    ['gpu/1', undefined, undefined],
  ];
  expect(await headlines()).toEqual(expected);
  await hub.restart();
  expect(await headlines()).toEqual(expected);
});

it('an overview is the same after a restart, and of an ended run is read from the store once', async () => {
  hub = await TestHub.start();
  const [ended, going] = [aRunId(), aRunId()];
  const trainers = [await hub.attached(ended), await hub.attached(going)];
  const steps = Array.from({ length: 500 }, (_, i) => stepped(i + 2, { 'train/loss': i === 321 ? 99 : 1 / (i + 1) }));
  for (const trainer of trainers) await send(trainer, [started(), ...steps]);
  await send(trainers[0]!, [finished(502)]);
  await isKept();
  const before = await listed(ended, 502);
  expect(before.overview!.series[0]!.values).toContain(99);

  await hub.restart();
  const history = vi.spyOn(hub.hub.runs.store, 'history');
  expect((await listed(ended, 502)).overview).toEqual(before.overview);
  expect(history.mock.calls.filter(([runId]) => runId === ended)).toEqual([]);
  // That of the run under way is made anew, and goes on with it.
  const { series } = (await listed(going, 501)).overview!;
  expect(series[0]).toMatchObject({ name: 'train/loss', step: 501, value: 1 / 500 });
  expect(series[0]!.values).toContain(99);
  expect(history.mock.calls.filter(([runId]) => runId === going)).toHaveLength(1);
  const again = await hub.attached(going);
  await send(again, [stepped(502, { 'train/loss': 7 })]);
  expect((await listed(going, 502)).overview!.series[0]).toMatchObject({ step: 502, value: 7 });
  expect(history.mock.calls.filter(([runId]) => runId === going)).toHaveLength(1);
});

it('a file of an overview that is damaged, of an earlier format, or of another run under the id, is made anew', async () => {
  hub = await TestHub.start();
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  await send(trainer, [started(), stepped(2, { 'train/loss': 5 }), finished(3)]);
  await isKept();
  const { overview: before, createdMs } = await listed(runId, 3);
  for (const text of [
    '{"format":2,"createdMs',
    `{"format":1,"createdMs":${createdMs},"overview":{"lastSeq":3,"series":[],"changes":[]}}`,
    '{"format":2,"createdMs":5,"overview":{"lastSeq":3,"series":[],"changes":[]}}',
  ]) {
    writeFileSync(join(hub.config.dataDir, 'overviews', `${runId}.json`), text);
    await hub.restart();
    expect((await listed(runId, 3)).overview).toEqual(before);
  }
});

it('an overview tells what was changed in mid-run, and goes with its run', async () => {
  hub = await TestHub.start();
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  await send(trainer, [started(), stepped(2)]);
  const { commandId, ...asked } = aCommand(runId, { kind: 'set_learning_rate', learningRate: 1e-4 });
  await hub.hub.runs.command({ ...asked, commandId }, 'dashboard');
  const change = { before: { learning_rate: 1e-3 }, after: { learning_rate: 1e-4 } };
  await send(trainer, [
    { type: 'command_applied', seq: 3, step: 2, wallTimeMs: testTimeMs + 2, commandId, ...change },
    finished(4),
  ]);
  const told = async () => (await listed(runId, 4)).overview!.changes.map((record) => [record.commandId, record.after]);
  await eventually(async () => ((await told()).length === 1 ? true : null));
  expect(await told()).toEqual([[commandId, change.after]]);
  await isKept();
  await hub.restart();
  expect(await told()).toEqual([[commandId, change.after]]);
  const deleted = await hub.request('DELETE', `/runs/${runId}`, undefined, {
    cookie: await hub.cookie(),
    origin: hub.url,
  });
  expect(deleted.status).toBe(200);
  await eventually(() => Promise.resolve(kept().length === 0 || null));
});

it('a list is filtered, sorted by a last value and paged in the store’s order or any other', async () => {
  hub = await TestHub.start();
  const runIds: RunId[] = [];
  for (const [i, loss] of [3, 1, 2].entries()) {
    const runId = aRunId();
    runIds.push(runId);
    await send(await hub.attached(runId), [
      started(),
      stepped(2, { 'train/loss': loss }),
      ...(i === 0 ? [finished(3)] : []),
    ]);
  }
  const [three, one, two] = runIds;
  const order = async (query: string): Promise<RunId[]> => (await list(query)).runs.map(({ runId }) => runId);
  expect(await order('sort=value:train/loss&order=asc')).toEqual([one, two, three]);
  await hub.restart();
  await eventually(async () =>
    (await order('sort=value:train/loss')).join() === [three, two, one].join() ? true : null,
  );
  expect(await order('state=finished')).toEqual([three]);
  expect(await order(`text=${two}`)).toEqual([two]);
  const first = await list('sort=value:train/loss&order=asc&limit=2');
  expect(first).toMatchObject({ total: 3, going: 2, next: expect.any(String) as string });
  expect(await order(`sort=value:train/loss&order=asc&limit=2&cursor=${first.next}`)).toEqual([three]);
  for (const bad of ['limit=1001', 'limit=0', 'sort=colour', 'state=odd', 'cursor=x'])
    expect([bad, (await hub.request('GET', `/runs?${bad}`)).status]).toEqual([bad, 400]);
});
