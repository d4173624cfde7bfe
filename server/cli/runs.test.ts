import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Command } from 'commander';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  aRunId,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  TestHub,
  testTimeMs,
} from '../../test/support/test-hub.js';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { addRunsCommand } from './runs.js';
import { addShowCommand } from './show.js';
import { addWatchCommand } from './watch.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

/** The lines that a command prints. */
const said = (...args: string[]): Promise<string[]> => saidAt(hub.url, ...args);
async function saidAt(url: string, ...args: string[]): Promise<string[]> {
  const program = new Command().exitOverride();
  const lines: string[] = [];
  addRunsCommand(program, (line) => lines.push(line));
  addShowCommand(program, (line) => lines.push(line));
  addWatchCommand(program, (line) => lines.push(line));
  await program.parseAsync([...args, '--hub', url], { from: 'user' });
  return lines;
}

it("lists and shows the last values of any trainer's series, those with a better direction first", async () => {
  const runId = aRunId();
  const trainer = hub.trainer();
  expect(await trainer.emitWithAck('attach', attachment(runId, { name: 'foreign' }))).toMatchObject({ ok: true });
  const names = ['lr-AdamW/pg1', 'loss', 'val/AR@100', 'grad_norm', 'epoch'];
  const series = names.map((name, number) => ({
    ...{ number, name },
    ...(name === 'loss' && { better: 'lower' as const, unit: 'nats' }),
    ...(name === 'val/AR@100' && { better: 'higher' as const, label: 'recall' }),
  }));
  const values = { 'lr-AdamW/pg1': 0.001, loss: 2.5, 'val/AR@100': 'NaN', grad_norm: 1, epoch: 0.25 } as const;
  const answer = await trainer.emitWithAck('events', { events: [{ ...started(), series }, stepped(2, values, names)] });
  expect(answer).toMatchObject({ ok: true });
  const [heads, row] = await eventually(async () => {
    const lines = await said('runs');
    return lines[1]?.includes('loss') ? lines : null;
  });
  expect(heads).toMatch(/^RUN +STATE +STEP +LAST VALUES +NAME$/);
  expect(row).toMatch(new RegExp(`^${runId} +running +2 +loss 2\\.5 nats {2}recall NaN +foreign$`));
  expect(await said('show', runId)).toContainEqual(
    expect.stringMatching(/^last values +loss 2\.5 nats {2}recall NaN {2}lr-AdamW\/pg1 0\.001 {2}grad_norm 1$/),
  );
});

it('watches the headline series of a foreign run, with their labels and units', async () => {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const names = ['loss', 'val/AR@100'];
  const series = [
    { number: 0, name: 'loss', better: 'lower' as const, unit: 'nats' },
    { number: 1, name: 'val/AR@100', better: 'higher' as const, label: 'recall' },
  ];
  const events = [{ ...started(), series }, stepped(2, { loss: 2.5, 'val/AR@100': 0.5 }, names), finished(3)];
  expect(await trainer.emitWithAck('events', { events })).toMatchObject({ ok: true });
  expect(await said('watch', runId, '--from', '0')).toEqual([
    expect.stringMatching(/^step {6}0 {2}started: /),
    'step      2  loss 2.5 nats  recall 0.5',
    'step      3  finished',
  ]);
});

it('prints each value of a series that becomes a headline while the run is watched', async () => {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const send = async (...events: WireEvent[]): Promise<void> =>
    expect(await trainer.emitWithAck('events', { events })).toMatchObject({ ok: true });
  await send(started(1, []));
  const lines: string[] = [];
  const program = new Command().exitOverride();
  addWatchCommand(program, (line) => lines.push(line));
  const watching = program.parseAsync(['watch', runId, '--hub', hub.url], { from: 'user' });
  await eventually(() => (lines.length > 0 ? true : null));
  const declared = { type: 'series_declared', seq: 2, step: 0, wallTimeMs: testTimeMs } as const;
  await send({ ...declared, series: [{ number: 0, name: 'val/AR@100', better: 'higher' }] });
  for (let seq = 3; seq < 40; seq++) await send(stepped(seq, { 'val/AR@100': seq }, ['val/AR@100']));
  await send(finished(40));
  await watching;
  expect(lines.filter((line) => line.includes('val/AR@100 ')).length).toBe(37);
});

it('shows the last value of a series however long ago it was', async () => {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const names = ['loss', 'epoch/accuracy'];
  const late = Array.from({ length: 100 }, (_, i) => stepped(i + 3, { loss: 1 }, names));
  const events = [started(1, names), stepped(2, { loss: 2, 'epoch/accuracy': 0.5 }, names), ...late];
  expect(await trainer.emitWithAck('events', { events })).toMatchObject({ ok: true });
  const [shown] = await said('show', runId, '--json');
  expect(JSON.parse(shown!)).toMatchObject({
    last: { loss: { step: 102, value: 1 }, 'epoch/accuracy': { step: 2, value: 0.5 } },
  });
});

it('gives programs null for the last values of a run whose overview the hub has not read in time', async () => {
  const runs = [
    { runId: 'unread', overview: null },
    { runId: 'without-values', overview: { lastSeq: 1, series: [], changes: [] } },
  ];
  const slow = createServer((_, response) => response.end(JSON.stringify({ runs, next: null, total: 2, going: 0 })));
  await new Promise<void>((listening) => slow.listen(0, '127.0.0.1', listening));
  try {
    const [line] = await saidAt(`http://127.0.0.1:${(slow.address() as AddressInfo).port}`, 'runs', '--json');
    expect(JSON.parse(line!)).toEqual([
      { runId: 'unread', last: null },
      { runId: 'without-values', last: {} },
    ]);
  } finally {
    slow.close();
  }
});
