import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach } from 'vitest';
import { CommandId, type CommandAction } from '@plumbline/shared/command';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { nativeIsSetUp } from '../../server/trainer/backend/native-setup.js';
import { selectBackend } from '../../server/trainer/backend/select-backend.js';
import type { Checkpoint } from '../../server/trainer/checkpoint.js';
import { ControlPoint } from '../../server/trainer/control-point.js';
import { builtInTokenizer } from '../../server/trainer/data/vocabulary.js';
import type { EnergyReadings } from '../../server/trainer/energy/energy-meter.js';
import { prepareMethod } from '../../server/trainer/methods/prepare-method.js';
import { baseOf, type Base } from '../../server/trainer/models/base.js';
import { builtInBlueprint } from '../../server/trainer/models/built-in/modeling.js';
import { freshWeights } from '../../server/trainer/models/built-in/weights.js';
import type { Model } from '../../server/trainer/models/model.js';
import type { HostTensor } from '../../server/trainer/safetensors.js';
import { Evaluation } from '../../server/trainer/probes/evaluation.js';
import { ProbeSuite } from '../../server/trainer/probes/probe-suite.js';
import type { Tokenizer } from '../../server/trainer/tokenizer.js';
import { train, type Outcome } from '../../server/trainer/training-loop.js';

export const tokenizer: Tokenizer = builtInTokenizer();
/** A small real configuration: every path of the loop, at a few milliseconds per step. */
export const modelConfig = {
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
export const trainer = { backend: 'test', device: 'cpu', host: 'here', processId: 1, version: '1' };
export const defaults = {
  name: 'test',
  steps: 8,
  batchSize: 2,
  warmupSteps: 2,
  probeEverySteps: 4,
  checkpointEverySteps: 4,
};

/** Runs of the real loop at a few milliseconds per step. Create it in a `describe`: each test gets a new folder. */
export class SmallRuns {
  folder = '';
  readonly baseWeights: ReadonlyMap<string, HostTensor> = freshWeights(modelConfig, 3);
  readonly base: Base = baseOf(builtInBlueprint(modelConfig), this.baseWeights);

  constructor() {
    beforeAll(async () => {
      await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
    });
    beforeEach(async () => {
      this.folder = await mkdtemp(join(tmpdir(), 'plumbline-loop-'));
    });
    afterEach(() => rm(this.folder, { recursive: true, force: true }));
  }

  /** Trains from the same start; `at` gives commands after completed steps. */
  async run(
    overrides: Partial<RunConfig> = {},
    options: {
      from?: Checkpoint;
      at?: Record<number, CommandAction | CommandAction[]>;
      /** Command to give at each pause. */
      onPause?: CommandAction;
      /** Step after which to stop. */
      stopAfter?: number;
      onEvent?: (event: UnnumberedEvent) => void;
      energy?: EnergyReadings;
    } = {},
  ): Promise<{ outcome: Outcome; events: UnnumberedEvent[]; model: Model }> {
    const config = RunConfig.parse({ ...defaults, ...overrides });
    const method = await prepareMethod(config.method, this.base, config.seed);
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
        checkpointFolder: join(this.folder, 'checkpoints'),
      },
      ...(options.from ? { from: options.from } : {}),
      ...(options.energy ? { energy: options.energy } : {}),
    });
    return { outcome, events, model };
  }
}

export const series = (events: UnnumberedEvent[], name: string): [number, unknown][] =>
  events.flatMap((event) => ('metrics' in event && name in event.metrics ? [[event.step, event.metrics[name]]] : []));
export const applied = (events: UnnumberedEvent[]): UnnumberedEvent[] =>
  events.filter(({ type }) => type === 'command_applied');
