import { Command } from 'commander';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aRunId, attachment, started, TestHub, testTimeMs } from '../../test/support/test-hub.js';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { addFreezeCommand } from './freeze.js';
import { addShowCommand } from './show.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

/** The JSON that a command prints. */
async function json(...args: string[]): Promise<unknown> {
  const program = new Command().exitOverride();
  const lines: string[] = [];
  addFreezeCommand(program, (line) => lines.push(line));
  addShowCommand(program, (line) => lines.push(line));
  await program.parseAsync([...args, '--json', '--hub', hub.url], { from: 'user' });
  return JSON.parse(lines.join('\n'));
}

const event = (type: string, seq: number, step: number, more: object = {}): ControlEvent =>
  ({ type, seq, step, wallTimeMs: testTimeMs, ...more }) as ControlEvent;

/** A run that froze `b` after its checkpoint, failed, and goes on from the checkpoint. */
const events: ControlEvent[] = [
  {
    ...started(),
    model: {
      name: 'two',
      groups: ['a', 'b'].map((name) => ({ name, part: 'language' })),
      parameters: [
        { name: 'a.weight', group: 'a', size: 100, shape: [100] },
        { name: 'b.weight', group: 'b', size: 10, shape: [10] },
      ],
      recipes: [{ name: 'full', label: 'Full', groups: ['a', 'b'] }],
    },
    trainable: ['a.weight', 'b.weight'],
  } as ControlEvent,
  event('checkpoint_saved', 2, 5, { checkpointId: 'step-5', bytes: 1, digest: `sha256:${'0'.repeat(64)}` }),
  event('trainable_changed', 3, 5, { selection: { kind: 'groups', groups: ['a'] }, trainable: ['a.weight'] }),
  event('run_failed', 4, 9, { reason: 'out of memory' }),
];

it('what a run trains is what it trained at the checkpoint from which it goes on', async () => {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  expect(await trainer.emitWithAck('events', { events })).toMatchObject({ ok: true });
  expect(await json('show', runId)).toMatchObject({ trainable: { selection: '1 group', parameters: 100, of: 110 } });

  expect(await trainer.emitWithAck('attach', { ...attachment(runId), newSegment: true })).toMatchObject({ ok: true });
  const segment = event('segment_started', 5, 5, { fromStep: 5, checkpointId: 'step-5' });
  expect(await trainer.emitWithAck('events', { events: [segment] })).toMatchObject({ ok: true });
  expect(await json('show', runId)).toMatchObject({ trainable: { selection: 'full', parameters: 110, of: 110 } });
  expect(await json('show', runId, '--groups')).toMatchObject({
    groups: [
      { name: 'a', trained: true },
      { name: 'b', trained: true },
    ],
  });
  expect(await json('freeze', runId, '--groups', 'b', '--preview')).toMatchObject({
    newlyTrained: [],
    newlyFrozen: ['a.weight'],
  });
});
