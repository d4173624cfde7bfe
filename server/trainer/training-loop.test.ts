import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CommandId, type CommandAction } from '@plumbline/shared/command';
import type { TrainingMethod } from '@plumbline/shared/method';
import { targetAccuracy, weightDrift } from '@plumbline/shared/metric';
import { CheckpointId, RunConfig, RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { nativeIsSetUp } from './backend/native-setup.js';
import { selectBackend } from './backend/select-backend.js';
import { buildModel, loadCheckpoint, type Checkpoint } from './checkpoint.js';
import { ControlPoint } from './control-point.js';
import { builtInTokenizer } from './data/vocabulary.js';
import { EnergyMeter, type EnergyReadings } from './energy/energy-meter.js';
import { fineTuning } from './method/fine-tuning.js';
import { mergeCheckpoint } from './method/merge-checkpoint.js';
import { prepareMethod } from './method/prepare-method.js';
import { ModelConfig, type HostTensor } from './model/model-config.js';
import { VisionLanguageModel } from './model/vision-language-model.js';
import { Evaluation } from './probe/evaluation.js';
import { ProbeSuite } from './probe/probe-suite.js';
import { readSafetensors } from './safetensors.js';
import { train, type Outcome } from './training-loop.js';

const tokenizer = builtInTokenizer();
/** The real thing, small: every path of the loop, a few milliseconds a step. */
const modelConfig = {
  ...{ imageSize: 32, patchSize: 8, hiddenSize: 16, visionLayers: 1, visionIntermediateSize: 16, decoderLayers: 2 },
  ...{
    intermediateSize: 16,
    heads: 2,
    vocabSize: tokenizer.size,
    maxTextTokens: 16,
    ropeTheta: 10_000,
    rmsNormEps: 1e-6,
  },
};
const trainer = { backend: 'test', device: 'cpu', host: 'here', processId: 1, version: '1' };
const defaults = { name: 'test', steps: 8, batchSize: 2, warmupSteps: 2, probeEverySteps: 4, checkpointEverySteps: 4 };

describe('train', () => {
  let folder: string;
  let baseWeights: Map<string, HostTensor>;
  beforeAll(async () => {
    await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
    baseWeights = await VisionLanguageModel.initialize(modelConfig, 3).toTensors();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-loop-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Trains from the same start; `at` gives commands when a step was completed. */
  async function run(
    overrides: Partial<RunConfig> = {},
    options: {
      from?: Checkpoint;
      at?: Record<number, CommandAction | CommandAction[]>;
      /** Given at each pause. */
      onPause?: CommandAction;
      /** Told to end once this step is done. */
      stopAfter?: number;
      onEvent?: (event: UnnumberedEvent) => void;
      energy?: EnergyReadings;
    } = {},
  ): Promise<{ outcome: Outcome; events: UnnumberedEvent[]; model: VisionLanguageModel }> {
    const config = RunConfig.parse({ ...defaults, ...overrides });
    const method = prepareMethod(config.method, { config: modelConfig, weights: baseWeights }, config.seed);
    const { model } = method;
    const probes = await ProbeSuite.create(model, tokenizer, { targets: config.tasks, questionsPerTask: 2 });
    const { evaluationQuestions: asked, evaluationSeed: seed } = config;
    const evaluation =
      asked > 0 ? await Evaluation.create(model, tokenizer, { questionsPerTask: asked, seed }) : undefined;
    const events: UnnumberedEvent[] = [];
    const emit = (event: UnnumberedEvent): void => {
      events.push(event);
      options.onEvent?.(event);
      const given =
        event.type === 'step_completed'
          ? options.at?.[event.step]
          : event.type === 'run_paused'
            ? options.onPause
            : undefined;
      [given ?? []].flat().forEach((action, index) => {
        const commandId = CommandId.parse(`command-${events.length}-${index}`);
        control.take({ commandId, runId: RunId.parse('run-1'), action });
      });
      if (event.type === 'step_completed' && event.step === options.stopAfter)
        setImmediate(() => control.requestStop('told to end'));
    };
    const control: ControlPoint = new ControlPoint(emit);
    const outcome = await train({
      ...{
        runId: RunId.parse('run-1'),
        config,
        trainer,
        method,
        tokenizer,
      },
      ...{
        probes,
        evaluation,
        sink: { emit, room: () => Promise.resolve() },
        control,
        checkpointFolder: join(folder, 'checkpoints'),
      },
      ...(options.from ? { from: options.from } : {}),
      ...(options.energy ? { energy: options.energy } : {}),
    });
    return { outcome, events, model };
  }
  const series = (events: UnnumberedEvent[], name: string): [number, unknown][] =>
    events.flatMap((event) => ('metrics' in event && name in event.metrics ? [[event.step, event.metrics[name]]] : []));
  const applied = (events: UnnumberedEvent[]): UnnumberedEvent[] =>
    events.filter(({ type }) => type === 'command_applied');

  it('says what happens, in order, and ends once', async () => {
    const { outcome, events } = await run();
    expect(outcome.kind).toBe('finished');
    const step = 'step_completed';
    expect(events.map(({ type }) => type)).toEqual([
      ...['run_started', 'stage_started', 'probe_completed', 'checkpoint_saved'],
      ...[step, step, step, step, 'probe_completed', 'checkpoint_saved'],
      ...[step, step, step, step, 'probe_completed', 'checkpoint_saved', 'run_finished'],
    ]);
    // Warm-up over two steps, then the cosine.
    expect(
      series(events, 'train/learning_rate')
        .slice(0, 2)
        .map(([, rate]) => rate),
    ).toEqual([5e-4, 1e-3]);
    expect(series(events, 'shift/kl')[0]).toEqual([0, 0]);
    expect(series(events, 'shift/top1_agreement')[0]).toEqual([0, 100]);
  });

  describe('a sequence of tasks', () => {
    const sequence = { tasks: ['counting', 'clock'], steps: 4, warmupSteps: 2, checkpointEverySteps: 100 } as const;
    const asked = { ...sequence, tasks: [...sequence.tasks] };

    it('teaches one after another, each with an optimizer and a schedule of its own', async () => {
      const { outcome, events } = await run(asked);
      expect(outcome.kind).toBe('finished');
      const stages = events.flatMap((event) =>
        event.type === 'stage_started' ? [[event.step, event.stage, event.task, event.steps]] : [],
      );
      expect(stages).toEqual([
        [0, 0, 'counting', 4],
        [4, 1, 'clock', 4],
      ]);
      const ofSteps = events.flatMap((event) => (event.type === 'step_completed' ? [[event.step, event.stage]] : []));
      expect(ofSteps.map(([, stage]) => stage)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
      const rates = series(events, 'train/learning_rate').map(([, rate]) => rate);
      expect(rates.slice(4)).toEqual(rates.slice(0, 4));
      // What was learnt of the first skill is measured while the second is taught.
      expect(series(events, targetAccuracy('counting')).map(([step]) => step)).toEqual([0, 4, 8]);
      expect(series(events, targetAccuracy('clock')).map(([step]) => step)).toEqual([0, 4, 8]);
      expect(await readdir(join(folder, 'checkpoints'))).toEqual(['step-000000', 'step-000004', 'step-000008']);
    });

    it('goes on from the end of a stage bit for bit as if it had not stopped', async () => {
      const whole = await run(asked);
      const from = await loadCheckpoint(join(folder, 'checkpoints', 'step-000004'));
      const rest = await run(asked, { from });
      expect(series(rest.events, 'train/loss')).toEqual(series(whole.events, 'train/loss').slice(4));
    });

    it('keeps what was chosen to train, and pays for moments of nothing else', async () => {
      const { events, model } = await run(asked, {
        at: { 2: { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } } },
      });
      const sizes = (part: RegExp): number =>
        model.parameterInfos().reduce((sum, { name, size }) => sum + (part.test(name) ? size : 0), 0);
      const whole = sizes(/^(language_model|lm_head)/);
      const attention = sizes(/^language_model.*self_attn/);
      // Two moments of each parameter that was trained in the stage: what is frozen keeps its own until that ends.
      expect(series(events, 'train/optimizer_bytes').map(([, bytes]) => bytes)).toEqual([
        ...[whole, whole, whole, whole].map((size) => 8 * size),
        ...[attention, attention, attention, attention].map((size) => 8 * size),
      ]);
    });

    it('asks every task before training and at the end of each stage, answer by answer', async () => {
      const { events } = await run({ ...asked, evaluationQuestions: 3 });
      const evaluations = events.flatMap((event) => (event.type === 'evaluation_completed' ? [event] : []));
      expect(evaluations.map(({ step, stage, weight }) => [step, stage, weight])).toEqual([
        [0, null, null],
        [4, 0, null],
        [8, 1, null],
      ]);
      for (const { right } of evaluations) {
        expect(Object.keys(right)).toEqual(expect.arrayContaining(['counting', 'clock', 'colour', 'easy_vqa']));
        for (const answers of Object.values(right)) expect(answers).toMatch(/^[01]{3}$/);
      }
    });
  });

  it('repeats exactly from its seed, and not from another', async () => {
    const loss = async (seed: number): Promise<unknown> => series((await run({ seed })).events, 'train/loss');
    const first = await loss(1);
    expect(await loss(1)).toEqual(first);
    expect(await loss(2)).not.toEqual(first);
  });

  it('goes on from a checkpoint bit for bit as if it had not stopped', async () => {
    const whole = await run();
    const from = await loadCheckpoint(join(folder, 'checkpoints', 'step-000004'));
    const rest = await run({}, { from });
    expect(series(rest.events, 'train/loss')).toEqual(series(whole.events, 'train/loss').slice(4));
    const [a, b] = [await whole.model.toTensors(), await rest.model.toTensors()];
    for (const [name, { data }] of a) expect(b.get(name)!.data, name).toEqual(data);
    // Drift is still measured against the base model.
    expect(series(rest.events, weightDrift('language_model.lm_head')).at(-1)).toEqual(
      series(whole.events, weightDrift('language_model.lm_head')).at(-1),
    );
  });

  it('freezes in mid-run: the frozen group moves not at all from the applied step on, the others do', async () => {
    const { events } = await run(
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

  it('trains on with nothing trainable: the loss is told, no weight moves', async () => {
    const { events, outcome } = await run({ recipe: 'none' });
    expect(outcome.kind).toBe('finished');
    expect(series(events, weightDrift('language_model.lm_head')).at(-1)).toEqual([8, 0]);
    expect(series(events, 'train/gradient_norm').every(([, norm]) => norm === 0)).toBe(true);
  });

  it('fails a selection that hits nothing and keeps the old one', async () => {
    const { events } = await run(
      {},
      { at: { 2: { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'experts.*' } } } },
    );
    expect(events.find(({ type }) => type === 'command_failed')).toMatchObject({
      reason: expect.stringMatching(/experts/),
    });
    expect(events.some(({ type }) => type === 'trainable_changed')).toBe(false);
  });

  it('changes the learning rate from the next step on; the schedule goes on', async () => {
    const { events } = await run(
      { schedule: 'constant', warmupSteps: 0 },
      { at: { 3: { kind: 'set_learning_rate', learningRate: 0.02 } } },
    );
    expect(series(events, 'train/learning_rate').map(([, rate]) => rate)).toEqual([
      1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02, 0.02, 0.02,
    ]);
    expect(applied(events)).toMatchObject([{ before: { learning_rate: 1e-3 }, after: { learning_rate: 0.02 } }]);
  });

  it('lowers the learning rate from what it is then', async () => {
    const { events } = await run(
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

  it('evaluates and saves when asked, and keeps what was asked for', async () => {
    const { events } = await run({}, { at: { 2: { kind: 'evaluate_now' }, 3: { kind: 'save_checkpoint' } } });
    expect(series(events, 'shift/kl').map(([step]) => step)).toEqual([0, 2, 4, 8]);
    expect(await readdir(join(folder, 'checkpoints'))).toEqual([
      'saved-000003',
      'step-000000',
      'step-000004',
      'step-000008',
    ]);
  });

  it('keeps the first and the last automatic checkpoints of a long run', async () => {
    await run({ steps: 9, checkpointEverySteps: 1 });
    expect(await readdir(join(folder, 'checkpoints'))).toEqual([
      'step-000000',
      ...[5, 6, 7, 8, 9].map((n) => `step-00000${n}`),
    ]);
  });

  it('saves and keeps a checkpoint where the configuration asks for one', async () => {
    await run({ steps: 9, checkpointEverySteps: 2, keepCheckpointsAt: [1] });
    expect(await readdir(join(folder, 'checkpoints'))).toEqual(
      [0, 1, 2, 4, 6, 8, 9].map((step) => `step-00000${step}`),
    );
    await run({ steps: 9, checkpointEverySteps: 1, keepCheckpointsAt: [2] });
    expect(await readdir(join(folder, 'checkpoints'))).toEqual(
      [0, 2, 5, 6, 7, 8, 9].map((step) => `step-00000${step}`),
    );
  });

  describe('a change of what is trained or how fast', () => {
    const attention = { kind: 'recipe', recipe: 'sa_proj' } as const;
    const inFront = { steps: 12, schedule: 'constant', warmupSteps: 0 } as const;

    it('leaves the state in front of it behind, however long the run goes on', async () => {
      const { events } = await run(
        { ...inFront, checkpointEverySteps: 1 },
        {
          at: {
            2: { kind: 'set_trainable', selection: attention },
            4: { kind: 'lower_learning_rate', factor: 0.5 },
          },
        },
      );
      expect(await readdir(join(folder, 'checkpoints'))).toEqual(
        [0, 2, 4, 8, 9, 10, 11, 12].map((step) => `step-${String(step).padStart(6, '0')}`),
      );
      const { position } = await loadCheckpoint(join(folder, 'checkpoints', 'step-000002'));
      expect(position).toMatchObject({ step: 2, selection: { recipe: 'full' }, learningRate: 1e-3 });
      // Written when the step was done; not again for the change.
      expect(events.filter((event) => event.type === 'checkpoint_saved' && event.step === 2)).toHaveLength(1);
    });

    it('saves that state where none was due, once for all that changes there, before it changes', async () => {
      const { events } = await run(inFront, {
        at: {
          3: [
            { kind: 'set_learning_rate', learningRate: 0.02 },
            { kind: 'set_trainable', selection: attention },
          ],
        },
      });
      const at3 = events.filter(({ step, type }) => step === 3 && /^(checkpoint|command)/.test(type));
      expect(at3.map(({ type }) => type)).toEqual(['checkpoint_saved', 'command_applied', 'command_applied']);
      const { position } = await loadCheckpoint(join(folder, 'checkpoints', 'step-000003'));
      expect(position).toMatchObject({ step: 3, learningRate: 1e-3, selection: { recipe: 'full' } });
    });

    it('leaves nothing behind when it fails', async () => {
      await run(inFront, {
        at: { 3: { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'experts.*' } } },
      });
      expect(await readdir(join(folder, 'checkpoints'))).not.toContain('step-000003');
    });

    it('leaves the newest twenty behind', async () => {
      const steps = Array.from({ length: 30 }, (_, i) => i + 1);
      await run(
        { ...inFront, steps: 31, checkpointEverySteps: 1000, probeEverySteps: 31 },
        { at: Object.fromEntries(steps.map((step) => [step, { kind: 'lower_learning_rate', factor: 0.9 }])) },
      );
      expect(await readdir(join(folder, 'checkpoints'))).toEqual(
        [0, ...steps.slice(10), 31].map((step) => `step-${String(step).padStart(6, '0')}`),
      );
    });
  });

  it('leaves for a branch with the checkpoint it will start from', async () => {
    const restore = {
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse('step-000004'),
      branchRunId: RunId.parse('run-2'),
    } as const;
    const { outcome, events } = await run({}, { at: { 6: restore } });
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

  it('goes on when the checkpoint to restore is damaged or missing', async () => {
    const restore = (checkpointId: string): CommandAction => ({
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse(checkpointId),
      branchRunId: RunId.parse('run-2'),
    });
    const { outcome, events } = await run(
      {},
      {
        at: { 5: restore('step-000004'), 6: restore('step-999999') },
        onEvent: (event) => {
          // Damaged right after it was written.
          if (event.type === 'step_completed' && event.step === 5)
            writeFileSync(join(folder, 'checkpoints', 'step-000004', 'model.safetensors'), 'x');
        },
      },
    );
    expect(outcome.kind).toBe('finished');
    const reasons = events.flatMap((event) => (event.type === 'command_failed' ? [event.reason] : []));
    expect(reasons).toHaveLength(2);
    expect(reasons[0]).toMatch(/damaged/);
    expect(reasons[1]).toMatch(/does not exist/);
  });

  it('goes on when the manifest of the checkpoint to restore is damaged', async () => {
    const action: CommandAction = {
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse('step-000004'),
      branchRunId: RunId.parse('run-2'),
    };
    const { outcome, events } = await run(
      {},
      {
        at: { 5: action },
        onEvent: (event) => {
          if (event.type === 'step_completed' && event.step === 5)
            writeFileSync(join(folder, 'checkpoints', 'step-000004', 'checkpoint.json'), '{"format":');
        },
      },
    );
    expect(outcome.kind).toBe('finished');
    expect(events.find(({ type }) => type === 'command_failed')).toMatchObject({
      reason: expect.stringMatching(/checkpoint.json is damaged/),
    });
  });

  it('does not finish before its last checkpoint is written', async () => {
    const checkpoints = join(folder, 'checkpoints');
    const { outcome, events } = await run(
      { steps: 8, checkpointEverySteps: 100 },
      {
        onEvent: (event) => {
          if (event.type === 'step_completed' && event.step === 8) {
            rmSync(checkpoints, { recursive: true });
            writeFileSync(checkpoints, '');
          }
          if (event.type === 'run_paused') rmSync(checkpoints);
        },
        onPause: { kind: 'resume' },
      },
    );
    expect(outcome.kind).toBe('finished');
    const ends = events.map(({ type }) => type).slice(-5);
    expect(ends).toEqual(['run_paused', 'command_applied', 'run_resumed', 'checkpoint_saved', 'run_finished']);
    expect((await loadCheckpoint(join(checkpoints, 'step-000008'))).position.step).toBe(8);
  });

  it('tells energy with every probe and with each step for which it is due, never less than before', async () => {
    const settings = { gridIntensity: 473, powerUsageEffectiveness: 1, wattsPerCore: null };
    const energy = await EnergyMeter.open({ settings, gpu: 'none' });
    // Due at each step: these are over in less than a second.
    const always = { due: () => energy.now(), now: () => energy.now() };
    const { events } = await run({}, { energy: always }).finally(() => energy.close());
    const joules = series(events, 'energy/joules');
    const probes = events.filter(({ type }) => type === 'probe_completed');
    expect(probes.every((event) => 'metrics' in event && 'energy/joules' in event.metrics)).toBe(true);
    expect(joules.length).toBe(probes.length + 8);
    expect(joules.at(-1)![0]).toBe(8);
    joules.forEach(([, value], index) => expect(value).toBeGreaterThanOrEqual(Number(joules[index - 1]?.[1] ?? 0)));
    const [last, low, high] = ['energy/joules', 'energy/joules_low', 'energy/joules_high'].map(
      (name) => series(events, name).at(-1)![1] as number,
    ) as [number, number, number];
    expect(low).toBeGreaterThan(0);
    expect(low).toBeLessThan(last);
    expect(high).toBeGreaterThan(last);
    expect(series(events, 'energy/co2_grams').at(-1)![1]).toBeCloseTo((last / 3.6e6) * 473, 9);
  });

  it('says which old checkpoints it removed', async () => {
    const { events } = await run({ steps: 9, checkpointEverySteps: 1 });
    const removed = events.flatMap((event) => (event.type === 'checkpoint_removed' ? [event.checkpointId] : []));
    expect(removed).toEqual(['step-000001', 'step-000002', 'step-000003', 'step-000004']);
    const left = await readdir(join(folder, 'checkpoints'));
    expect(left.sort()).toEqual(['step-000000', ...[5, 6, 7, 8, 9].map((step) => `step-00000${step}`)]);
  });

  it('saves what a command changed since the last checkpoint when it is stopped', async () => {
    const { events } = await run(
      { steps: 8 },
      { at: { 4: { kind: 'set_learning_rate', learningRate: 0.5 } }, stopAfter: 4 },
    );
    expect(events.at(-1)).toMatchObject({ type: 'run_stopped' });
    const { position } = await loadCheckpoint(join(folder, 'checkpoints', 'step-000004'));
    expect(position).toMatchObject({ step: 4, learningRate: 0.5 });
  });

  it('fails when the loss is no number any more, says so, and keeps the last good checkpoint', async () => {
    const { outcome, events } = await run(
      { schedule: 'constant', warmupSteps: 0, steps: 40 },
      // A learning rate that no command may give any more destroys the weights at once.
      { at: { 4: { kind: 'set_learning_rate', learningRate: 1e30 } } },
    );
    expect(outcome.kind).toBe('failed');
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: 'run_failed' });
    expect('reason' in last && last.reason).toMatch(
      /became (NaN|Infinity) at step \d+ .*step-000004.*lower learning rate/,
    );
    expect(['NaN', 'Infinity']).toContain(series(events, 'train/loss').at(-1)![1]);
    const { weights } = await loadCheckpoint(join(folder, 'checkpoints', 'step-000004'));
    expect([...weights.values()].every(({ data }) => data.every(Number.isFinite))).toBe(true);
  });

  it('pauses with the reason when no checkpoint can be written, and goes on when that is mended', async () => {
    // A file where the folder has to be: root may write anywhere, so permissions would not stop this test's process.
    await writeFile(join(folder, 'checkpoints'), '');
    const paused: string[] = [];
    const model = VisionLanguageModel.initialize(modelConfig, 3);
    const probes = await ProbeSuite.create(model, tokenizer, { targets: ['counting'], questionsPerTask: 2 });
    const control: ControlPoint = new ControlPoint((event) => emit(event));
    const emit = (event: UnnumberedEvent): void => {
      if (event.type !== 'run_paused') return;
      paused.push(event.reason);
      void rm(join(folder, 'checkpoints')).then(() =>
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
      ...{ sink: { emit, room: () => Promise.resolve() }, checkpointFolder: join(folder, 'checkpoints') },
    });
    expect(outcome.kind).toBe('finished');
    expect(paused).toHaveLength(1);
    expect(paused[0]).toMatch(/No checkpoint could be written: .*Make room/);
    expect(await readdir(join(folder, 'checkpoints'))).toContain('step-000008');
  });

  describe.each<[TrainingMethod, Partial<RunConfig>]>([
    [{ kind: 'lora', rank: 2, alpha: 4 }, {}],
    [{ kind: 'lwf', weight: 1, temperature: 2 }, {}],
    [{ kind: 'wise_ft', weights: [0, 0.5, 1] }, { evaluationQuestions: 2 }],
    [{ kind: 'mixture_of_experts', experts: 2 }, {}],
  ])('by the method %j', (method, overrides) => {
    const asked = { ...overrides, method };

    it('repeats exactly, and goes on from a checkpoint bit for bit as if it had not stopped', async () => {
      const whole = await run(asked);
      expect(whole.outcome.kind).toBe('finished');
      const again = await run(asked);
      const from = await loadCheckpoint(join(folder, 'checkpoints', 'step-000004'));
      expect(from.method).toEqual(method);
      const rest = await run(asked, { from });
      const losses = series(whole.events, 'train/loss');
      expect(series(again.events, 'train/loss')).toEqual(losses);
      expect(series(rest.events, 'train/loss')).toEqual(losses.slice(4));
      const weights = await whole.model.toTensors();
      expect(await again.model.toTensors()).toEqual(weights);
      expect(await rest.model.toTensors()).toEqual(weights);
      const drifts = Object.keys(whole.events.flatMap((e) => ('metrics' in e ? [e.metrics] : []))[0]!).filter((name) =>
        name.startsWith('drift/'),
      );
      expect(drifts.length).toBeGreaterThan(10);
      for (const name of drifts)
        expect(series(rest.events, name).at(-1), name).toEqual(series(whole.events, name).at(-1));
    });

    it('starts as the base, moves only what may be trained, and pays for moments of that only', async () => {
      const { events, model } = await run({ ...asked, recipe: 'mlp_down' });
      const [started] = events.flatMap((event) => (event.type === 'run_started' ? [event] : []));
      expect(series(events, 'shift/kl')[0]![1]).toBeCloseTo(0, 6);
      expect(series(events, 'shift/top1_agreement')[0]).toEqual([0, 100]);
      const trained = new Set(started!.trainable);
      const infos = started!.model.parameters;
      expect(infos.some(({ name, fixed }) => fixed && trained.has(name))).toBe(false);
      const start = prepareMethod(method, { config: modelConfig, weights: baseWeights }, 1).model;
      const before = await start.toTensors();
      for (const [name, { data }] of await model.toTensors())
        if (trained.has(name)) expect(data, name).not.toEqual(before.get(name)!.data);
        else expect(data, name).toEqual(before.get(name)!.data);
      const size = infos.reduce((sum, info) => sum + (trained.has(info.name) ? info.size : 0), 0);
      expect(new Set(series(events, 'train/optimizer_bytes').map(([, bytes]) => bytes))).toEqual(new Set([8 * size]));
      // Drift is of what the model computes with: of the groups that were trained, and of no other.
      const groups = new Set(infos.flatMap(({ name, group }) => (trained.has(name) ? [group] : [])));
      for (const { group } of infos) {
        const drift = series(events, weightDrift(group));
        expect(drift[0], group).toEqual([0, 0]);
        if (groups.has(group)) expect(drift.at(-1)![1], group).toBeGreaterThan(0);
        else expect(drift.at(-1), group).toEqual([8, 0]);
      }
    });
  });

  it('distils with both parts of the loss told', async () => {
    const { events } = await run({ method: { kind: 'lwf', weight: 2, temperature: 2 } });
    const [loss, task, distillation] = ['train/loss', 'train/task_loss', 'train/distillation_loss'].map((name) =>
      series(events, name).map(([, value]) => value as number),
    );
    // Student and teacher are one function at first, but not one kernel's result.
    expect(distillation![0]).toBeCloseTo(0, 6);
    expect(Math.min(...distillation!.slice(1))).toBeGreaterThan(1e-6);
    loss!.forEach((value, i) => expect(value).toBeCloseTo(task![i]! + distillation![i]!, 5));
    expect(series((await run()).events, 'train/task_loss')).toEqual([]);
  });

  it('evaluates the weights between the base and the trained ones at the end of each stage, and trains on as if it had not', async () => {
    const sequence: Partial<RunConfig> = { tasks: ['counting', 'clock'], steps: 4, evaluationQuestions: 20 };
    const plain = await run(sequence);
    const { events, model } = await run({ ...sequence, method: { kind: 'wise_ft', weights: [0, 0.5, 1] } });
    const evaluations = events.flatMap((event) => (event.type === 'evaluation_completed' ? [event] : []));
    expect(evaluations.map(({ step, stage, weight }) => [step, stage, weight])).toEqual([
      [0, null, null],
      ...[null, 0, 0.5, 1].map((weight) => [4, 0, weight]),
      ...[null, 0, 0.5, 1].map((weight) => [8, 1, weight]),
    ]);
    for (const at of [1, 5]) {
      expect(evaluations[at + 1]!.right).toEqual(evaluations[0]!.right);
      expect(evaluations[at + 3]!.right).toEqual(evaluations[at]!.right);
    }
    expect(await model.toTensors()).toEqual(await plain.model.toTensors());
  });

  it('writes a LoRA checkpoint as a plain model that answers the same, and no mixture of experts', async () => {
    const base = { config: modelConfig, weights: baseWeights, tokenizer };
    const checkpoint = join(folder, 'checkpoints', 'step-000008');
    const out = join(folder, 'merged');
    const { model } = await run({ method: { kind: 'lora', rank: 2, alpha: 4 } });
    expect(await mergeCheckpoint(checkpoint, out, base)).toBe('step 8, LoRA adapters of rank 2 and alpha 4 merged in');
    expect((await readdir(out)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const { tensors } = readSafetensors(await readFile(join(out, 'model.safetensors')));
    expect([...tensors.keys()]).toEqual([...baseWeights.keys()]);
    const merged = buildModel(ModelConfig.parse(JSON.parse(await readFile(join(out, 'config.json'), 'utf8'))), tensors);
    const evaluation = await Evaluation.create(merged, tokenizer, 20);
    expect(await evaluation.ask(model)).toEqual(evaluation.base);
    await expect(mergeCheckpoint(checkpoint, out, base)).rejects.toThrow(/is there already/);
    await run({ method: { kind: 'mixture_of_experts', experts: 1 } });
    await expect(mergeCheckpoint(checkpoint, `${out}-2`, base)).rejects.toThrow(/no plain model does the same/);
  });

  it('refuses a checkpoint of another method’s model, or of other sizes, and says which', async () => {
    await run({ method: { kind: 'lora', rank: 2, alpha: 4 } });
    const from = await loadCheckpoint(join(folder, 'checkpoints', 'step-000004'));
    const into = (method: TrainingMethod): Promise<unknown> => run({ method }, { from });
    await expect(into({ kind: 'lora', rank: 2, alpha: 8 })).rejects.toThrow(
      /is of a model with LoRA adapters of rank 2 and alpha 4; this run trains a model with .* alpha 8.*Choose/,
    );
    await expect(into({ kind: 'fine_tuning' })).rejects.toThrow(/this run trains a model without additions/);
    await expect(into({ kind: 'mixture_of_experts', experts: 1 })).rejects.toThrow(/1 further expert in each layer/);
    from.weights.delete('lm_head.weight');
    await expect(into({ kind: 'lora', rank: 2, alpha: 4 })).rejects.toThrow(/lack lm_head.weight/);
  });
});
