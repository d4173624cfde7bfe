import { writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CommandAction } from '@plumbline/shared/command';
import { changesNothing } from '@plumbline/shared/command-change';
import { weightDrift } from '@plumbline/shared/metric';
import { CheckpointId, RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { applied, series, SmallRuns } from '../../test/support/small-run.js';
import { loadCheckpoint } from './checkpoint.js';

describe('commands to a run', () => {
  const small = new SmallRuns();

  it('freezes during a run: from the applied step on the frozen group does not move at all, the others do', async () => {
    const { events } = await small.run(
      { steps: 12, probeEverySteps: 2 },
      { at: { 4: { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } } } },
    );
    const [command] = applied(events);
    expect(command).toMatchObject({ step: 4, before: { selection: 'full' }, after: { selection: 'sa_proj' } });
    const after = (name: string): unknown[] =>
      series(events, name).flatMap(([step, value]) => (step >= 4 ? [value] : []));
    const frozen = after(weightDrift('language_model.layers.0.mlp.up_proj'));
    expect(frozen.length).toBe(5);
    expect(new Set(frozen).size).toBe(1);
    expect(frozen[0]).toBeGreaterThan(0);
    expect(new Set(after(weightDrift('language_model.layers.0.self_attn.q_proj'))).size).toBe(5);
    expect(new Set(series(events, weightDrift('vision_tower')).map(([, value]) => value))).toEqual(new Set([0]));
  });

  it('continues with nothing trainable: the loss is reported, no weight moves', async () => {
    const { events, outcome } = await small.run({ recipe: 'none' });
    expect(outcome.kind).toBe('finished');
    expect(series(events, weightDrift('language_model.lm_head')).at(-1)).toEqual([8, 0]);
    expect(series(events, 'train/gradient_norm').every(([, norm]) => norm === 0)).toBe(true);
  });

  it('fails a recipe that its model does not have, and lists the recipes', async () => {
    const selection = { kind: 'recipe', recipe: 'sa_prj' } as const;
    const { events } = await small.run({}, { at: { 2: { kind: 'set_trainable', selection } } });
    expect(events.find(({ type }) => type === 'command_failed')).toMatchObject({
      reason:
        'This model has no recipe "sa_prj". It has full, everything, sa_proj, sa_qkv, mlp, mlp_gate_up, mlp_down, ' +
        'projector, vision, none.',
    });
  });

  it('fails a selection of nothing and keeps the old one', async () => {
    const { events } = await small.run(
      {},
      { at: { 2: { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'experts.*' } } } },
    );
    expect(events.find(({ type }) => type === 'command_failed')).toMatchObject({
      reason: expect.stringMatching(/experts/),
    });
    expect(events.some(({ type }) => type === 'trainable_changed')).toBe(false);
  });

  it('changes the learning rate from the next step on; the schedule continues', async () => {
    const { events } = await small.run(
      { schedule: 'constant', warmupSteps: 0 },
      { at: { 3: { kind: 'set_learning_rate', learningRate: 0.02 } } },
    );
    expect(series(events, 'train/learning_rate').map(([, rate]) => rate)).toEqual([
      1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02, 0.02, 0.02,
    ]);
    expect(applied(events)).toMatchObject([{ before: { learning_rate: 1e-3 }, after: { learning_rate: 0.02 } }]);
  });

  it('lowers the learning rate from its current value', async () => {
    const { events } = await small.run(
      { schedule: 'constant', warmupSteps: 0, steps: 4 },
      {
        at: {
          1: { kind: 'set_learning_rate', learningRate: 0.5 },
          2: { kind: 'lower_learning_rate', factor: 0.25 },
        },
      },
    );
    expect(series(events, 'train/learning_rate').map(([, rate]) => rate)).toEqual([1e-3, 0.5, 0.125, 0.125]);
    expect(applied(events).at(-1)).toMatchObject({ before: { learning_rate: 0.5 }, after: { learning_rate: 0.125 } });
  });

  it('evaluates and saves on command, and keeps these checkpoints', async () => {
    const { events } = await small.run({}, { at: { 2: { kind: 'evaluate_now' }, 3: { kind: 'save_checkpoint' } } });
    expect(series(events, 'shift/kl').map(([step]) => step)).toEqual([0, 2, 4, 8]);
    expect(await readdir(join(small.folder, 'checkpoints'))).toEqual([
      'saved-000003',
      'step-000000',
      'step-000004',
      'step-000008',
    ]);
  });

  describe('a change of selection or learning rate', () => {
    const attention = { kind: 'recipe', recipe: 'sa_proj' } as const;
    const inFront = { steps: 12, schedule: 'constant', warmupSteps: 0 } as const;

    it('keeps the state before it, for the whole run', async () => {
      const { events } = await small.run(
        { ...inFront, checkpointEverySteps: 1 },
        {
          at: {
            2: { kind: 'set_trainable', selection: attention },
            4: { kind: 'lower_learning_rate', factor: 0.5 },
          },
        },
      );
      expect(await readdir(join(small.folder, 'checkpoints'))).toEqual(
        [0, 2, 4, 8, 9, 10, 11, 12].map((step) => `step-${String(step).padStart(6, '0')}`),
      );
      const { position } = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000002'));
      expect(position).toMatchObject({ step: 2, selection: { recipe: 'full' }, learningRate: 1e-3 });
      // Written after the step, and not again for the change.
      expect(events.filter((event) => event.type === 'checkpoint_saved' && event.step === 2)).toHaveLength(1);
    });

    it('saves that state even if no checkpoint was due, once for all changes at a step, before the first', async () => {
      const { events } = await small.run(inFront, {
        at: {
          3: [
            { kind: 'set_learning_rate', learningRate: 0.02 },
            { kind: 'set_trainable', selection: attention },
          ],
        },
      });
      const at3 = events.filter(({ step, type }) => step === 3 && /^(checkpoint|command)/.test(type));
      expect(at3.map(({ type }) => type)).toEqual(['checkpoint_saved', 'command_applied', 'command_applied']);
      const { position } = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000003'));
      expect(position).toMatchObject({ step: 3, learningRate: 1e-3, selection: { recipe: 'full' } });
    });

    it('counts only if something changes: otherwise no checkpoint and no event', async () => {
      const { events } = await small.run(inFront, {
        at: {
          3: [
            { kind: 'set_learning_rate', learningRate: 1e-3 },
            { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'full' } },
          ],
          5: [
            { kind: 'set_trainable', selection: attention },
            // The same parameters by another name.
            { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'language_model.*self_attn.*' } },
          ],
          // Two groups of one size.
          6: [0, 1].map((layer) => ({
            kind: 'set_trainable',
            selection: { kind: 'groups', groups: [`language_model.layers.${layer}.self_attn.q_proj`] },
          })),
        },
      });
      const commands = applied(events) as Extract<UnnumberedEvent, { type: 'command_applied' }>[];
      expect(commands.map(({ before, after }) => changesNothing({ before, after }))).toEqual([
        true,
        true,
        false,
        true,
        false,
        false,
      ]);
      expect(commands[3]!.after['selection']).toBe('sa_proj');
      expect(events.filter(({ type }) => type === 'trainable_changed')).toHaveLength(3);
      expect(await readdir(join(small.folder, 'checkpoints'))).not.toContain('step-000003');
    });

    it('keeps no checkpoint when it fails', async () => {
      await small.run(inFront, {
        at: { 3: { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'experts.*' } } },
      });
      expect(await readdir(join(small.folder, 'checkpoints'))).not.toContain('step-000003');
    });

    it('keeps the newest twenty', async () => {
      const steps = Array.from({ length: 30 }, (_, i) => i + 1);
      await small.run(
        { ...inFront, steps: 31, checkpointEverySteps: 1000, probeEverySteps: 31 },
        { at: Object.fromEntries(steps.map((step) => [step, { kind: 'lower_learning_rate', factor: 0.9 }])) },
      );
      expect(await readdir(join(small.folder, 'checkpoints'))).toEqual(
        [0, ...steps.slice(10), 31].map((step) => `step-${String(step).padStart(6, '0')}`),
      );
    });
  });

  it('leaves for a branch with the checkpoint that the branch starts from', async () => {
    const restore = {
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse('step-000004'),
      branchRunId: RunId.parse('run-2'),
    } as const;
    const lower = { kind: 'set_learning_rate', learningRate: 1e-5 } as const;
    const { outcome, events } = await small.run({ learningRate: 1e-3 }, { at: { 5: lower, 6: restore } });
    // Reports what it resets: the changes since.
    expect(events.findLast((event) => event.type === 'command_applied')).toMatchObject({
      before: { step: 6, selection: 'full', learning_rate: 1e-5 },
      after: { run: 'run-2', step: 4, selection: 'full', learning_rate: 1e-3 },
    });
    expect(outcome).toMatchObject({
      kind: 'branched',
      branch: { branchRunId: 'run-2', checkpoint: { position: { step: 4 } } },
    });
    expect(events.at(-1)).toMatchObject({
      type: 'run_stopped',
      step: 6,
      reason: 'continued as run-2 from step-000004',
    });
  });

  it('continues when the checkpoint to restore is damaged or missing', async () => {
    const restore = (checkpointId: string): CommandAction => ({
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse(checkpointId),
      branchRunId: RunId.parse('run-2'),
    });
    const { outcome, events } = await small.run(
      {},
      {
        at: { 5: restore('step-000004'), 6: restore('step-999999') },
        onEvent: (event) => {
          // Damaged right after it was written.
          if (event.type === 'step_completed' && event.step === 5)
            writeFileSync(join(small.folder, 'checkpoints', 'step-000004', 'model.safetensors'), 'x');
        },
      },
    );
    expect(outcome.kind).toBe('finished');
    const reasons = events.flatMap((event) => (event.type === 'command_failed' ? [event.reason] : []));
    expect(reasons).toHaveLength(2);
    expect(reasons[0]).toMatch(/damaged/);
    expect(reasons[1]).toMatch(/no checkpoint step-999999 any more/);
  });

  it('continues when the manifest of the checkpoint to restore is damaged', async () => {
    const action: CommandAction = {
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse('step-000004'),
      branchRunId: RunId.parse('run-2'),
    };
    const { outcome, events } = await small.run(
      {},
      {
        at: { 5: action },
        onEvent: (event) => {
          if (event.type === 'step_completed' && event.step === 5)
            writeFileSync(join(small.folder, 'checkpoints', 'step-000004', 'checkpoint.json'), '{"format":');
        },
      },
    );
    expect(outcome.kind).toBe('finished');
    expect(events.find(({ type }) => type === 'command_failed')).toMatchObject({
      reason: expect.stringMatching(/checkpoint.json is damaged/),
    });
  });
});
