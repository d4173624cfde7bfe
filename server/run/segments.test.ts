import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ControlEventsResponse, FindingsResponse, HistoryResponse, WindowsResponse } from '@plumbline/shared/http';
import { metrics } from '@plumbline/shared/metric';
import { CommandId } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import {
  aCommand,
  aRunId,
  attachment,
  finished,
  started,
  stepped,
  TestHub,
  testTimeMs,
} from '../../test/support/test-hub.js';
import { archiveOf } from '../transfer/run-archive.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ trainerGraceMs: 300 });
});
afterAll(() => hub.remove());

const segment = (seq: number, fromStep: number, checkpointId?: string): WireEvent =>
  ({
    ...{ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: testTimeMs + 9500 },
    ...(checkpointId !== undefined && { checkpointId }),
  }) as WireEvent;
const stepAt = (seq: number, step: number, loss: number): WireEvent => ({
  ...stepped(seq, { 'train/loss': loss }),
  step,
});

/** A run with steps 2 to 5 that has finished with event 6. */
async function finishedRun(): Promise<RunId> {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const events = [started(), ...[2, 3, 4, 5].map((seq) => stepped(seq)), { ...finished(6), step: 5 }];
  expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: 6 });
  trainer.disconnect();
  await hub.until(runId, ({ state, trainerConnected }) => state === 'finished' && !trainerConnected);
  return runId;
}
/** A trainer that goes on with a run. */
async function resuming(runId: RunId) {
  const trainer = hub.trainer();
  expect(await trainer.emitWithAck('attach', { ...attachment(runId), newSegment: true })).toMatchObject({
    ok: true,
    lastSeq: 6,
  });
  return trainer;
}
const lossSteps = async (runId: RunId): Promise<number[]> =>
  (await hub.get<HistoryResponse>(`/runs/${runId}/history`)).series['train/loss']!.steps;

describe('a run that has ended', () => {
  it('goes on with one segment an attach, though the batches of a second one follow at once', async () => {
    const runId = await finishedRun();
    const trainer = await resuming(runId);
    // Of one tick, so that they are stored together.
    const batches = [
      [segment(7, 3), { ...finished(8), step: 3 }],
      [segment(9, 3), stepAt(10, 4, 80)],
    ];
    const answers = await Promise.all(batches.map((events) => trainer.emitWithAck('events', { events })));
    expect(answers).toMatchObject([
      { ok: true, lastSeq: 8 },
      { ok: false, error: { code: 'conflict' } },
    ]);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', lastSeq: 8 });
  });

  it('has findings of what it did in the end, not of changes that are superseded', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const applied: WireEvent = {
      ...{ type: 'command_applied', seq: 4, step: 4, wallTimeMs: testTimeMs + 4 },
      commandId: CommandId.parse('command-of-a-segment'),
      ...{ before: { learning_rate: 0.1 }, after: { learning_rate: 0.01 } },
    };
    const measured = (seq: number, step: number): WireEvent => ({
      ...stepped(seq, { [metrics.heldOutMean]: 50 }),
      step,
    });
    const events = [started(), measured(2, 2), measured(3, 3), applied, measured(5, 5), { ...finished(6), step: 5 }];
    await trainer.emitWithAck('events', { events });
    await hub.until(runId, ({ state }) => state === 'finished');
    const texts = async () =>
      (await hub.get<FindingsResponse>(`/runs/${runId}/findings`)).findings.map(({ text }) => text).join('\n');
    expect(await texts()).toMatch(/learning rate/);
    trainer.disconnect();
    await hub.until(runId, ({ trainerConnected }) => !trainerConnected);
    await (await resuming(runId)).emitWithAck('events', { events: [segment(7, 3), measured(8, 4)] });
    expect(await texts()).not.toMatch(/learning rate/);
  });

  it('continues under its id as another segment, which supersedes earlier values after its first step; these stay stored', async () => {
    const runId = await finishedRun();
    const trainer = await resuming(runId);
    // Until the segment begins it has ended.
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', trainerConnected: true });
    const events = [segment(7, 3, 'step-000003'), stepAt(8, 4, 80), stepAt(9, 5, 90), stepAt(10, 6, 100)];
    expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: 10 });
    const run = await hub.hub.runs.get(runId);
    expect(run).toMatchObject({
      ...{ state: 'running', reason: '', endedMs: null, lastSeq: 10, lastStep: 6 },
      segments: [{ seq: 7, fromStep: 3 }],
    });
    const { series } = await hub.get<HistoryResponse>(`/runs/${runId}/history`);
    expect(series['train/loss']).toMatchObject({ steps: [2, 3, 4, 5, 6], values: [2, 3, 80, 90, 100] });
    const windows = await hub.get<WindowsResponse>(`/runs/${runId}/windows?metric=train/loss`);
    expect(windows.series['train/loss']).toMatchObject({ counts: [5], minima: [2], maxima: [100], lasts: [100] });
    const compared = await hub.get<{ runs: { metrics: Record<string, object> }[] }>(
      `/compare?run=${runId}&metric=train/loss`,
    );
    expect(compared.runs[0]!.metrics['train/loss']).toMatchObject({ count: 5, max: 100 });
    expect((await hub.get<FindingsResponse>(`/runs/${runId}/findings`)).findings).toBeInstanceOf(Array);
    // All of it is in the events and in exports.
    const control = await hub.get<ControlEventsResponse>(`/runs/${runId}/events`);
    expect(control.events.map(({ type }) => type)).toEqual(['run_started', 'run_finished', 'segment_started']);
    const stored: number[] = [];
    for await (const batch of (await archiveOf(hub.hub.runs.store, runId)).events())
      stored.push(...batch.map(({ step }) => step));
    expect(stored).toEqual([0, 2, 3, 4, 5, 5, 3, 4, 5, 6]);
    // It takes commands again, and may end again.
    expect(await hub.hub.runs.command(aCommand(runId, { kind: 'pause' }), 'api')).toMatchObject({ state: 'pending' });
    expect(await trainer.emitWithAck('events', { events: [{ ...finished(11), step: 6 }] })).toEqual({
      ok: true,
      lastSeq: 11,
    });
    await hub.until(runId, ({ state }) => state === 'finished');
  });

  it('has the progress of its last segment after a restart of the hub', async () => {
    const runId = await finishedRun();
    const trainer = await resuming(runId);
    await trainer.emitWithAck('events', { events: [segment(7, 2), stepAt(8, 3, 30)] });
    await hub.restart();
    expect(await hub.hub.runs.get(runId)).toMatchObject({
      ...{ state: 'running', lastSeq: 8, lastStep: 3, segments: [{ seq: 7, fromStep: 2 }] },
    });
    const again = hub.trainer();
    expect(await again.emitWithAck('attach', attachment(runId))).toMatchObject({ ok: true, lastSeq: 8 });
    expect(await again.emitWithAck('events', { events: [stepAt(9, 2, 0)] })).toMatchObject({
      error: {
        code: 'invalid',
        message: expect.stringContaining('after step 3. Steps do not go back but with segment_started'),
      },
    });
    expect(
      await again.emitWithAck('events', { events: [stepAt(9, 4, 40), { ...finished(10), step: 4 }] }),
    ).toMatchObject({ ok: true });
    await hub.until(runId, ({ state }) => state === 'finished');
    await hub.restart();
    expect(await hub.hub.runs.get(runId)).toMatchObject({
      ...{ state: 'finished', lastStep: 4, segments: [{ seq: 7, fromStep: 2 }] },
    });
    expect(await lossSteps(runId)).toEqual([2, 3, 4]);
  });

  it('stays ended for a trainer that announces no segment, or whose next event is another', async () => {
    const runId = await finishedRun();
    const refusal = {
      ok: false,
      error: { code: 'conflict', message: expect.stringContaining('has ended (finished)') },
    };
    const plain = hub.trainer();
    expect(await plain.emitWithAck('attach', attachment(runId))).toMatchObject({ ok: true, lastSeq: 6 });
    expect(await plain.emitWithAck('events', { events: [segment(7, 3)] })).toMatchObject(refusal);
    const trainer = await resuming(runId);
    expect(await trainer.emitWithAck('events', { events: [stepAt(7, 6, 1)] })).toMatchObject(refusal);
    expect(await trainer.emitWithAck('events', { events: [segment(7, 6)] })).toMatchObject({
      error: { code: 'invalid', message: expect.stringContaining('the run came to step 5 only') },
    });
    trainer.disconnect();
    await hub.until(runId, ({ trainerConnected }) => !trainerConnected);
    // Nobody holds it any more: it may be deleted.
    expect(await hub.hub.runs.delete(runId, 'somebody')).toMatchObject({ runId });
  });

  it('continues from its checkpoint also if its trainer was lost', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), ...[2, 3, 4, 5, 6].map((seq) => stepped(seq))] });
    trainer.disconnect();
    await hub.until(runId, ({ state }) => state === 'failed');
    const next = await resuming(runId);
    expect(await next.emitWithAck('events', { events: [segment(7, 4), stepAt(8, 5, 50)] })).toMatchObject({ ok: true });
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'running', lastStep: 5 });
    expect(await lossSteps(runId)).toEqual([2, 3, 4, 5]);
  });
});

it('watchers hear that the run runs again, and where its segment begins', async () => {
  const runId = await finishedRun();
  const page = hub.dashboard();
  await page.emitWithAck('watch', { runId });
  const runs: RunSummary[] = [];
  page.on('run', (run) => void (run.runId === runId && runs.push(run)));
  const control = new Promise<{ event: { type: string } }>((resolve) => page.once('control', resolve));
  const trainer = await resuming(runId);
  await trainer.emitWithAck('events', { events: [segment(7, 3)] });
  expect((await control).event).toMatchObject({ type: 'segment_started', fromStep: 3 });
  await hub.until(runId, ({ state }) => state === 'running');
  await expect
    .poll(() => runs.at(-1))
    .toMatchObject({ state: 'running', segments: [{ seq: 7, fromStep: 3 }], lastStep: 3 });
});
