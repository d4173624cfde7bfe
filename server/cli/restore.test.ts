import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunId } from '@plumbline/shared/run';
import { aRunId, started, TestHub, type TrainerEnd } from '../../test/support/test-hub.js';
import { UsageError } from '../usage-error.js';
import { addLearningRateCommand } from './learning-rate.js';
import { addRestoreCommand } from './restore.js';
import { addSteeringCommands } from './steer.js';

let hub: TestHub;
let folder: string;
let runId: RunId;
let lastSeq = 0;
const said: string[] = [];

/** Runs a command line against the hub. @returns its lines */
async function at(...args: string[]): Promise<string[]> {
  said.length = 0;
  const program = new Command();
  for (const add of [addRestoreCommand, addSteeringCommands, addLearningRateCommand])
    add(program, (line) => void said.push(line));
  await program.parseAsync([...args, '--hub', hub.url, '--token-file', join(folder, 'token')], { from: 'user' });
  return [...said];
}

beforeAll(async () => {
  hub = await TestHub.start();
  folder = mkdtempSync(join(tmpdir(), 'plumbline-restore-'));
  writeFileSync(join(folder, 'token'), hub.token);
  runId = aRunId();
  const trainer: TrainerEnd = await hub.attached(runId);
  const say = (...events: object[]) =>
    trainer.emitWithAck('events', {
      events: events.map((event) => ({
        step: ++lastSeq,
        seq: lastSeq,
        wallTimeMs: 1_700_000_000_001,
        ...event,
      })) as never,
    });
  const applied = (commandId: string) => ({ type: 'command_applied', commandId, before: {}, after: {} });
  // A trainer that says nothing in `before` and `after`.
  trainer.on('command', ({ commandId, action }, ack) => {
    ack({ ok: true });
    const saved = {
      type: 'checkpoint_saved',
      checkpointId: `save-${lastSeq}`,
      bytes: 1,
      digest: '',
      step: lastSeq + 2,
    };
    void say(...(action.kind === 'save_checkpoint' ? [saved] : []), applied(commandId));
  });
  lastSeq = 1;
  await trainer.emitWithAck('events', { events: [started(1)] });
});
afterAll(async () => {
  await hub.remove();
  rmSync(folder, { recursive: true });
});

it('a restore names the checkpoints that there are, and lists by the log what it undoes', async () => {
  await expect(at('restore', runId)).rejects.toThrow(/Name the checkpoint too.*It has no checkpoint\./);
  await at('lr', runId, '0.0009');
  const lines = await at('checkpoint', runId);
  const name = /^The checkpoint is (\S+)\.$/.exec(lines.at(-1)!)![1]!;
  await at('lr', runId, '0.0005');
  for (const wrong of [['step-9'], ['Not a name!'], []]) {
    const failed = await at('restore', runId, ...wrong).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(UsageError);
    expect((failed as Error).message).toContain(`It has ${name}.`);
  }
  const restored = await at('restore', runId, name);
  expect(restored.slice(1)).toEqual([expect.stringMatching(/^undoes: learning rate 0\.0005 \(step \d+\)$/)]);
});
