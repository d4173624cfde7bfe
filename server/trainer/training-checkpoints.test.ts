import { rmSync, writeFileSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandId } from '@plumbline/shared/command';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { defaults, series, SmallRuns, tokenizer, trainer } from '../../test/support/small-run.js';
import { loadCheckpoint } from './checkpoint.js';
import { ControlPoint } from './control-point.js';
import { fineTuning } from './methods/fine-tuning.js';
import { buildModel } from './models/build-model.js';
import { ProbeSuite } from './probes/probe-suite.js';
import { train } from './training-loop.js';

describe('checkpoints of a run', () => {
  const small = new SmallRuns();

  it('keeps the first and the last automatic checkpoints of a long run', async () => {
    await small.run({ steps: 9, checkpointEverySteps: 1 });
    expect(await readdir(join(small.folder, 'checkpoints'))).toEqual([
      'step-000000',
      ...[5, 6, 7, 8, 9].map((n) => `step-00000${n}`),
    ]);
  });

  it('saves and keeps a checkpoint at each step that the configuration names', async () => {
    await small.run({ steps: 9, checkpointEverySteps: 2, keepCheckpointsAt: [1] });
    expect(await readdir(join(small.folder, 'checkpoints'))).toEqual(
      [0, 1, 2, 4, 6, 8, 9].map((step) => `step-00000${step}`),
    );
    await small.run({ steps: 9, checkpointEverySteps: 1, keepCheckpointsAt: [2] });
    expect(await readdir(join(small.folder, 'checkpoints'))).toEqual(
      [0, 2, 5, 6, 7, 8, 9].map((step) => `step-00000${step}`),
    );
  });

  it('reports the old checkpoints that it removed', async () => {
    const { events } = await small.run({ steps: 9, checkpointEverySteps: 1 });
    const removed = events.flatMap((event) => (event.type === 'checkpoint_removed' ? [event.checkpointId] : []));
    expect(removed).toEqual(['step-000001', 'step-000002', 'step-000003', 'step-000004']);
    const left = await readdir(join(small.folder, 'checkpoints'));
    expect(left.sort()).toEqual(['step-000000', ...[5, 6, 7, 8, 9].map((step) => `step-00000${step}`)]);
  });

  it('saves a command’s change since the last checkpoint when it is stopped', async () => {
    const { events } = await small.run(
      { steps: 8 },
      { at: { 4: { kind: 'set_learning_rate', learningRate: 0.5 } }, stopAfter: 4 },
    );
    expect(events.at(-1)).toMatchObject({ type: 'run_stopped' });
    const saved = events.flatMap((event) => (event.type === 'checkpoint_saved' ? [event.checkpointId] : []));
    expect(saved).toEqual(['step-000000', 'step-000004', 'step-000004-2']);
    const at = async (id: string) => (await loadCheckpoint(join(small.folder, 'checkpoints', id))).position;
    // One can go back to the state before the change and continue from the state after it.
    expect(await at('step-000004')).toMatchObject({ step: 4, learningRate: 1e-3 });
    expect(await at('step-000004-2')).toMatchObject({ step: 4, learningRate: 0.5 });
  });

  it('changes nothing, and says why, when the checkpoint before the change cannot be written', async () => {
    const checkpoints = join(small.folder, 'checkpoints');
    const { outcome, events } = await small.run(
      { steps: 8, schedule: 'constant', warmupSteps: 0, checkpointEverySteps: 100, probeEverySteps: 100 },
      {
        at: {
          3: [
            { kind: 'set_learning_rate', learningRate: 0.5 },
            { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } },
          ],
          5: { kind: 'set_learning_rate', learningRate: 0.02 },
        },
        onEvent: (event) => {
          // A full disk: nothing can be made in the folder. Permissions would not stop root, which may write anywhere.
          if (event.type === 'step_completed' && event.step === 3) {
            rmSync(checkpoints, { recursive: true });
            writeFileSync(checkpoints, '');
          }
          if (event.type === 'step_completed' && event.step === 4) rmSync(checkpoints);
        },
      },
    );
    expect(outcome.kind).toBe('finished');
    const failures = events.filter(({ type }) => type === 'command_failed');
    expect(failures).toHaveLength(2);
    for (const failure of failures)
      expect(failure).toMatchObject({ step: 3, reason: expect.stringMatching(/Nothing was changed.*Make room/) });
    expect(events.some(({ type }) => type === 'trainable_changed' || type === 'run_paused')).toBe(false);
    expect(series(events, 'train/learning_rate').map(([, rate]) => rate)).toEqual([
      1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02,
    ]);
    const { position } = await loadCheckpoint(join(checkpoints, 'step-000005'));
    expect(position).toMatchObject({ learningRate: 1e-3, selection: { recipe: 'full' } });
  });

  it('pauses with the reason when no checkpoint can be written, and continues when that is repaired', async () => {
    // A file where the small.folder has to be: root may write anywhere, so permissions would not stop this test's process.
    await writeFile(join(small.folder, 'checkpoints'), '');
    const paused: string[] = [];
    const model = await buildModel(small.base);
    const probes = await ProbeSuite.create(model, tokenizer, { targets: ['counting'], questionsPerTask: 2 });
    const control: ControlPoint = new ControlPoint((event) => emit(event));
    const emit = (event: UnnumberedEvent): void => {
      if (event.type !== 'run_paused') return;
      paused.push(event.reason);
      void rm(join(small.folder, 'checkpoints')).then(() =>
        control.take({
          commandId: CommandId.parse('command-1'),
          runId: RunId.parse('run-1'),
          action: { kind: 'resume' },
        }),
      );
    };
    const outcome = await train({
      ...{ runId: RunId.parse('run-1'), config: RunConfig.parse(defaults), trainer, tokenizer, probes, control },
      method: fineTuning(model),
      ...{ sink: { emit, room: () => Promise.resolve() }, checkpointFolder: join(small.folder, 'checkpoints') },
    });
    expect(outcome.kind).toBe('finished');
    expect(paused).toHaveLength(1);
    expect(paused[0]).toMatch(/No checkpoint could be written: .*Make room/);
    expect(await readdir(join(small.folder, 'checkpoints'))).toContain('step-000008');
  });
});
