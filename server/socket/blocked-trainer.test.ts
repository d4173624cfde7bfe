import { afterEach, describe, expect, it } from 'vitest';
import type { RunSummary } from '@plumbline/shared/run';
import type { Busy } from '@plumbline/shared/socket';
import { BlockedTrainer } from '../../test/support/blocked-trainer.js';
import { FaultyProxy } from '../../test/support/faulty-proxy.js';
import { aRunId, attachment, started, stepped, TestHub } from '../../test/support/test-hub.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function blocked(silenceMs: number, graceMs: number) {
  const hub = await TestHub.start({ trainerSilenceMs: silenceMs, trainerGraceMs: graceMs });
  closing.push(() => hub.remove());
  const runId = aRunId();
  const seen: RunSummary[] = [];
  hub.hub.runs.on('run', (run) => void (run.runId === runId && seen.push(run)));
  const trainer = await BlockedTrainer.start(hub.url, hub.token, attachment(runId));
  closing.push(() => trainer.close());
  expect(await trainer.send([started(), stepped(2)])).toEqual({ ok: true, lastSeq: 2 });
  return { hub, runId, trainer, seen };
}
const busy: Busy = { forMs: 60_000, why: 'writing a checkpoint' };

describe('a trainer whose process is blocked', () => {
  it('keeps its connection and its run, though it answers no ping and says nothing beforehand', async () => {
    const { hub, runId, trainer, seen } = await blocked(60_000, 100);
    await trainer.block(3_000);
    expect(await trainer.send([stepped(3)])).toEqual({ ok: true, lastSeq: 3 });
    expect(seen.filter(({ trainerConnected }) => !trainerConnected)).toHaveLength(1); // created, before it attached
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'running', trainerConnected: true });
    expect(trainer.connections).toBe(1);
  });

  it('keeps its run for as long as it has said, though its connection is cut, and says why it is silent', async () => {
    const { hub, runId, trainer, seen } = await blocked(2_000, 100);
    const awake = trainer.block(8_000, busy);
    const away = await hub.until(runId, ({ trainerConnected }) => !trainerConnected);
    expect(away.busy).toMatchObject({ why: busy.why });
    expect(away.busy!.untilMs).toBeGreaterThan(Date.now());
    await awake;
    await hub.until(runId, ({ trainerConnected }) => trainerConnected);
    expect(await trainer.send([stepped(3)])).toEqual({ ok: true, lastSeq: 3 });
    expect(seen.map(({ state }) => state)).not.toContain('failed');
    expect((await hub.hub.runs.get(runId)).busy).toBeUndefined();
  });

  it('is lost after the silence and the grace period where it has said nothing, and takes its run up again', async () => {
    const { hub, runId, trainer } = await blocked(2_000, 100);
    const awake = trainer.block(8_000);
    expect((await hub.until(runId, ({ state }) => state === 'failed')).reason).toMatch(/^The trainer was lost/);
    await awake;
    await hub.until(runId, ({ state, trainerConnected }) => state === 'running' && trainerConnected);
    expect(await trainer.send([stepped(3)])).toEqual({ ok: true, lastSeq: 3 });
  });

  it('is not waited for once it is heard again: its word is over with its next events', async () => {
    const { hub, runId, trainer } = await blocked(60_000, 100);
    await trainer.block(1, busy);
    expect((await hub.hub.runs.get(runId)).busy).toMatchObject({ why: busy.why });
    expect(await trainer.send([stepped(3)])).toEqual({ ok: true, lastSeq: 3 });
    expect((await hub.hub.runs.get(runId)).busy).toBeUndefined();
    await trainer.close();
    await hub.until(runId, ({ state }) => state === 'failed');
  });

  it('may not be busy for ever, nor without a word why', async () => {
    const { hub, runId } = await blocked(60_000, 60_000);
    const trainer = await hub.attached(runId);
    const refusal = async (word: Busy): Promise<string> => {
      const answer = (await trainer.emitWithAck('busy', word)) as { error?: { code: string; message: string } };
      return `${answer.error?.code}: ${answer.error?.message}`;
    };
    expect(await refusal({ forMs: 3_600_001, why: 'x' })).toBe(
      'invalid: forMs: a trainer is busy for at most 60 minutes',
    );
    expect(await refusal({ forMs: 1, why: ' ' })).toMatch(/^invalid: why/);
  });
});

it('a connection that is dead without a word is noticed after the silence, and its run lost after the grace period', async () => {
  const hub = await TestHub.start({ trainerSilenceMs: 500, trainerGraceMs: 200 });
  closing.push(() => hub.remove());
  const proxy = await FaultyProxy.start(Number(new URL(hub.url).port));
  closing.push(() => proxy.close());
  const runId = aRunId();
  const trainer = await BlockedTrainer.start(proxy.url, hub.token, attachment(runId));
  closing.push(() => trainer.close());
  await trainer.send([started()]);
  proxy.become({ kind: 'half-open' });
  await hub.until(runId, ({ state }) => state === 'failed');
});
