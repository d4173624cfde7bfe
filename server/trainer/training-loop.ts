import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { metrics, toWireMetrics } from '@plumbline/shared/metric';
import { describeSelection, resolveSelection } from '@plumbline/shared/selection';
import type { ModelInfo, TrainableSelection } from '@plumbline/shared/parameter';
import { describeRun, totalSteps } from '@plumbline/shared/built-in/described-run';
import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { askedCheckpointPrefix, CheckpointId, type RunId, type TrainerInfo } from '@plumbline/shared/run';
import { plannedStages, stageAfter, type Stage } from '@plumbline/shared/stage';
import type { CommandAction } from '@plumbline/shared/command';
import { Rng } from '@plumbline/shared/rng';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { AdamW } from './optim/adamw.js';
import { adoptWeights, loadCheckpoint, saveCheckpoint, type Checkpoint } from './checkpoint.js';
import type { ControlPoint } from './control-point.js';
import { CommandError, type Applied, type Steered } from './control-point.js';
import { targetTasks } from './data/target-tasks.js';
import type { EnergyReadings } from './energy/energy-meter.js';
import { learningRateAt } from './learning-rate.js';
import type { Method } from './methods/method.js';
import { prepareQuestion } from './models/built-in/processing.js';
import { hostWeights } from './models/host-weights.js';
import { uploadInputs } from './models/upload.js';
import type { Answers, Evaluation } from './probes/evaluation.js';
import type { ProbeSuite } from './probes/probe-suite.js';
import type { Tokenizer } from './tokenizer.js';
import { DamagedFileError } from './weights/damaged-file-error.js';

/** The receiver of events: the link to the hub, or a list in a test. */
export interface EventSink {
  emit(event: UnnumberedEvent): void;
  /** Resolves when training may produce more events. */
  room(): Promise<void>;
}

export interface TrainingRun {
  runId: RunId;
  config: RunConfig;
  trainer: TrainerInfo;
  method: Method;
  tokenizer: Tokenizer;
  probes: ProbeSuite;
  /** The evaluation before training and at the end of each stage; without it there is none. */
  evaluation?: Evaluation | undefined;
  sink: EventSink;
  control: ControlPoint;
  /** Energy for the metrics of steps and probes; without it they have none. */
  energy?: EnergyReadings;
  /** Folder of this run's checkpoints. */
  checkpointFolder: string;
  /** The run's own checkpoint, equal to `from`, from which an ended run continues as another segment. */
  segmentFrom?: CheckpointId;
  /** The checkpoint to continue from; without it training starts at the model's current weights, the base's. */
  from?: Checkpoint;
}

/** A branch that a command asked for: another run that starts at this checkpoint. */
export interface Branch {
  branchRunId: RunId;
  checkpointId: CheckpointId;
  checkpoint: Checkpoint;
}
export type Outcome = { kind: 'finished' | 'stopped' | 'failed' } | { kind: 'branched'; branch: Branch };

/** The most characters of a value in a command's outcome. */
const longestChangeText = 20_000;
/** The number of automatic checkpoints to keep, beside the first and those that `#keeps` selects. */
const keptCheckpoints = 5;
/**
 * The number of newest changes of selection or learning rate whose checkpoints are kept: rules may make any number of
 * changes.
 */
const keptChanges = 20;
/**
 * `step-000120`, and `step-000120-2` for the second state of that step: the states before and after a change have
 * different names.
 */
const checkpointIdOf = (prefix: 'step-' | typeof askedCheckpointPrefix, step: number, times: number): CheckpointId =>
  CheckpointId.parse(`${prefix}${String(step).padStart(6, '0')}${times === 1 ? '' : `-${times}`}`);

/** Trains one run to its end. The last event says how it ended. Failures of a run become events, not exceptions. */
export async function train(run: TrainingRun): Promise<Outcome> {
  const loop = new TrainingLoop(run);
  try {
    return await loop.run();
  } finally {
    loop.dispose();
  }
}

class TrainingLoop implements Steered {
  step: number;
  readonly #model: ModelInfo;
  #optimizer: AdamW;
  readonly #stages: readonly Stage[];
  /** The stage of the next step. */
  #stage: Stage;
  readonly #dataRng: Rng;
  /** The seed that `#dataRng` started from. */
  readonly #seed: number;
  #learningRate: number;
  #selection: TrainableSelection;
  #trainable: string[];
  #branch: Branch | undefined;
  /** The last automatic checkpoint that was written. */
  #saved: { step: number; times: number; checkpointId: CheckpointId } | undefined;
  /** Whether a command has changed the content of a checkpoint since the last one was written. */
  #changedSince = false;
  /** The last automatic checkpoint could not be written: it is retried before training continues. */
  #saveOwed = false;
  #probedStep = -1;
  /** Names of the checkpoints that this process wrote. */
  readonly #written = new Set<string>();
  /** Steps at which a command changed the selection or the learning rate. */
  readonly #changedAt: number[] = [];

  constructor(private readonly of: TrainingRun) {
    const { config, from, method } = of;
    this.#model = method.model.describe();
    this.#optimizer = new AdamW({ weightDecay: config.weightDecay });
    this.step = from?.position.step ?? 0;
    this.#stages = plannedStages(describeRun(config));
    this.#stage = stageAfter(this.#stages, this.step)!;
    if (from) {
      adoptWeights(method.model, config.method, from);
      // From a checkpoint at the end of a stage, the next stage starts with new moments.
      if (this.step > this.#stage.firstStep) this.#optimizer.load(from.optimizer);
    }
    this.#dataRng = from ? Rng.fromState(from.position.dataRng) : new Rng(config.seed);
    this.#seed = from?.position.seed ?? config.seed;
    this.#learningRate = from?.position.learningRate ?? config.learningRate;
    this.#selection = from?.position.selection ?? { kind: 'recipe', recipe: config.recipe };
    this.#trainable = this.#resolve(this.#selection);
  }

  async run(): Promise<Outcome> {
    const { config, probes, sink, control, trainer, evaluation } = this.of;
    const lastStep = totalSteps(config);
    const { segmentFrom } = this.of;
    if (segmentFrom) this.#emit({ type: 'segment_started', fromStep: this.step, checkpointId: segmentFrom });
    this.#emit({
      type: 'run_started',
      trainer,
      model: this.#model,
      baseline: toWireMetrics(baselineOf(probes)),
      selection: this.#selection,
      trainable: this.#trainable,
    });
    this.#sayStage();
    await this.#probe();
    if (evaluation) this.#emit({ type: 'evaluation_completed', stage: null, weight: null, right: evaluation.base });
    await this.#save();
    while (this.step < lastStep || this.#saveOwed) {
      await sink.room();
      if ((await control.serve(this)) === 'stop') return this.#branch ? this.#leaveFor(this.#branch) : this.#stop();
      if (this.#saveOwed && (!(await this.#save()) || this.step >= lastStep)) continue;
      if (this.step === this.#stage.lastStep) this.#nextStage();
      if (!(await this.#trainStep())) return { kind: 'failed' };
      const stageEnds = this.step === this.#stage.lastStep;
      if (this.step % config.probeEverySteps === 0 || stageEnds) await this.#probe();
      if (stageEnds && evaluation) await this.#evaluate(evaluation);
      if (this.step % config.checkpointEverySteps === 0 || this.#keeps(this.step)) await this.#save();
    }
    this.#emit({ type: 'run_finished' });
    return { kind: 'finished' };
  }

  get leaving(): boolean {
    return this.#branch !== undefined;
  }

  dispose(): void {
    this.#optimizer.dispose();
  }

  /** Each skill is taught like a run of its own: the weights and the selection stay, the optimizer is new. */
  #nextStage(): void {
    this.#optimizer.dispose();
    this.#optimizer = new AdamW({ weightDecay: this.of.config.weightDecay });
    this.#stage = stageAfter(this.#stages, this.step)!;
    this.#sayStage();
  }

  #sayStage(): void {
    const { index, task, firstStep, lastStep } = this.#stage;
    this.#emit({ type: 'stage_started', stage: index, task, steps: lastStep - firstStep });
  }

  /** Takes one optimizer step. @returns false when the loss is no longer finite and the run has failed */
  async #trainStep(): Promise<boolean> {
    const { config, method, tokenizer } = this.of;
    const { model } = method;
    const startMs = performance.now();
    const task = targetTasks.find(({ name }) => name === this.#stage.task)!;
    const examples = Array.from({ length: config.batchSize }, () => task.sample(this.#dataRng, 'train'));
    const inputs = uploadInputs(model.collate(examples.map((question) => prepareQuestion(question, tokenizer))));
    const { loss, parts, gradients } = method.lossAndGradients(inputs, this.#trainable);
    const rate = this.#rateAt(this.step + 1);
    const norm = this.#optimizer.apply(model.parameters, gradients, rate, config.maxGradientNorm);
    // The only read of the step: everything before it is queued on the device without waiting.
    const read = tf.tidy(() => tf.stack([tf.cast(loss, 'float32'), norm, ...parts.values()]));
    const [lossValue, normValue, ...partValues] = (await read.data()) as Float32Array;
    tf.dispose([read, loss, norm, ...parts.values(), ...gradients.values(), ...Object.values(inputs)]);
    this.step++;
    this.#emit({
      type: 'step_completed',
      stage: this.#stage.index,
      metrics: toWireMetrics({
        [metrics.loss]: lossValue!,
        ...Object.fromEntries([...parts.keys()].map((name, i) => [name, partValues[i]!])),
        [metrics.learningRate]: rate,
        [metrics.gradientNorm]: normValue!,
        [metrics.stepDurationMs]: performance.now() - startMs,
        [metrics.trainableParameters]: this.#trainableSize(),
        [metrics.optimizerBytes]: this.#optimizer.bytes,
        ...this.of.energy?.due(),
      }),
    });
    if (Number.isFinite(lossValue) && Number.isFinite(normValue)) return true;
    this.#emit({
      type: 'run_failed',
      reason:
        `The ${Number.isFinite(lossValue) ? 'gradient norm' : 'loss'} became ${Number.isFinite(lossValue) ? normValue : lossValue} ` +
        `at step ${this.step} with learning rate ${rate.toPrecision(3)}. ` +
        (this.#saved
          ? `The last good checkpoint is ${this.#saved.checkpointId}: start a new run from it with a lower learning rate.`
          : 'No checkpoint was written: start a new run with a lower learning rate.'),
    });
    return false;
  }

  /** Applies the commands that the control point does not handle itself. */
  async apply(action: Parameters<Steered['apply']>[0]): Promise<Applied> {
    switch (action.kind) {
      case 'set_trainable':
        return this.#setTrainable(action.selection);
      case 'set_learning_rate':
        return this.#setLearningRate(action.learningRate);
      case 'lower_learning_rate':
        return this.#setLearningRate(this.#learningRate * action.factor);
      case 'evaluate_now': {
        const before = { probed_step: this.#probedStep };
        const values = await this.#probe();
        return { before, after: { probed_step: this.step, held_out_mean: values[metrics.heldOutMean]! } };
      }
      case 'save_checkpoint': {
        const saved = await this.#write(this.#freshId()).catch((error: unknown) => {
          throw new CommandError(`The checkpoint could not be written: ${messageOf(error)}`);
        });
        return { before: { checkpoint: null }, after: { checkpoint: saved } };
      }
      case 'restore_checkpoint':
        return this.#restore(action);
    }
  }

  async #setLearningRate(learningRate: number): Promise<Applied> {
    const before = { learning_rate: this.#learningRate };
    if (learningRate === this.#learningRate) return { before, after: before };
    await this.#keepBefore();
    this.#learningRate = learningRate;
    this.#changedSince = true;
    return { before, after: { learning_rate: learningRate } };
  }

  async #setTrainable(selection: TrainableSelection): Promise<Applied> {
    const resolved = resolveSelection(selection, this.#model);
    if (!resolved.ok) throw new CommandError(resolved.reason);
    const before = { selection: selectionText(this.#selection), trainable_parameters: this.#trainableSize() };
    if (haveSameNames(resolved.trainable, this.#trainable)) return { before, after: before };
    await this.#keepBefore();
    this.#selection = selection;
    this.#trainable = resolved.trainable;
    this.#changedSince = true;
    this.#emit({ type: 'trainable_changed', selection, trainable: resolved.trainable });
    return { before, after: { selection: selectionText(selection), trainable_parameters: resolved.trainableSize } };
  }

  async #restore({
    checkpointId,
    branchRunId,
  }: Extract<CommandAction, { kind: 'restore_checkpoint' }>): Promise<Applied> {
    if (!branchRunId) throw new CommandError('The hub gave no id for the branch.');
    const folder = join(this.of.checkpointFolder, checkpointId);
    // The hub knows the checkpoints, but a step may have removed this one since it looked.
    if (!existsSync(folder))
      throw new CommandError(
        `There is no checkpoint ${checkpointId} any more: it was removed to make room for later ones. Choose another one.`,
      );
    const checkpoint = await loadCheckpoint(folder).catch((error: unknown) => {
      throw new CommandError(
        error instanceof DamagedFileError ? error.message : `The checkpoint could not be read: ${messageOf(error)}`,
      );
    });
    this.#branch = { branchRunId, checkpointId, checkpoint };
    const { step, selection, learningRate } = checkpoint.position;
    // The settings that the branch resets beside the weights: changes by people and rules since the checkpoint.
    return {
      before: {
        ...{ run: this.of.runId, step: this.step },
        ...{ selection: selectionText(this.#selection), learning_rate: this.#learningRate },
      },
      after: {
        ...{ run: branchRunId, step, checkpoint: checkpointId },
        ...{ selection: selectionText(selection), learning_rate: learningRate },
      },
    };
  }

  async #stop(): Promise<Outcome> {
    const lost = await this.#trySave();
    const { stopReason } = this.of.control;
    this.#emit({
      type: 'run_stopped',
      reason: lost ? `${stopReason}; its last state could not be saved: ${lost}` : stopReason,
    });
    return { kind: 'stopped' };
  }

  #leaveFor(branch: Branch): Outcome {
    const { branchRunId, checkpointId } = branch;
    this.#emit({ type: 'run_stopped', reason: `continued as ${branchRunId} from ${checkpointId}` });
    return { kind: 'branched', branch };
  }

  async #probe(): Promise<Record<string, number>> {
    const values = await this.of.probes.run(this.of.method.model);
    this.#probedStep = this.step;
    this.#emit({
      type: 'probe_completed',
      stage: this.#stage.index,
      metrics: toWireMetrics({ ...values, ...this.of.energy?.now() }),
    });
    return values;
  }

  /** Evaluates the model at the end of a stage, and the models that its method evaluates beside it. */
  async #evaluate(evaluation: Evaluation): Promise<void> {
    const { method } = this.of;
    const say = (weight: number | null, right: Answers): void =>
      this.#emit({ type: 'evaluation_completed', stage: this.#stage.index, weight, right });
    say(null, await evaluation.ask(method.model));
    const beside = method.evaluateBeside?.((model) => evaluation.ask(model)) ?? [];
    for await (const { weight, right } of beside) say(weight, right);
  }

  /** Writes an automatic checkpoint. If it cannot be written, the run pauses, so that no further work is at risk. */
  async #save(): Promise<boolean> {
    const problem = await this.#trySave();
    if (!problem) {
      this.#saveOwed = false;
      return true;
    }
    this.#saveOwed = true;
    const reason = `No checkpoint could be written: ${problem}. Make room or repair the folder, then resume.`;
    this.of.control.pause(reason, this.step);
    return false;
  }

  /**
   * Saves the state before a change of selection or learning rate, so that one can go back and train on without it.
   * Changes at one step share this state.
   * @throws CommandError when it cannot be written; the change is then not made
   */
  async #keepBefore(): Promise<void> {
    if (this.#changedAt.at(-1) === this.step) return;
    const problem = await this.#trySave();
    if (problem)
      throw new CommandError(
        `Nothing was changed, because the checkpoint before the change could not be written: ${problem}. ` +
          'Make room or repair the folder, then give the command again.',
      );
    this.#changedAt.push(this.step);
  }

  /** @returns the reason of a failure; empty when the checkpoint is on disk */
  async #trySave(): Promise<string> {
    if (this.#saved?.step === this.step && !this.#changedSince) return '';
    try {
      const times = this.#saved?.step === this.step ? this.#saved.times + 1 : 1;
      const checkpointId = await this.#write(checkpointIdOf('step-', this.step, times));
      this.#saved = { step: this.step, times, checkpointId };
      this.#changedSince = false;
      await this.#removeOld();
      return '';
    } catch (error) {
      return messageOf(error);
    }
  }

  async #write(checkpointId: CheckpointId): Promise<CheckpointId> {
    const { checkpointFolder, config, method } = this.of;
    const { model } = method;
    const { bytes, digest } = await saveCheckpoint(join(checkpointFolder, checkpointId), {
      weights: await hostWeights(model.parameters),
      optimizer: await this.#optimizer.state(model.parameters),
      position: {
        step: this.step,
        dataRng: this.#dataRng.state,
        seed: this.#seed,
        learningRate: this.#learningRate,
        selection: this.#selection,
      },
      method: config.method,
    });
    this.#written.add(checkpointId);
    this.#emit({ type: 'checkpoint_saved', checkpointId, bytes, digest });
    return checkpointId;
  }

  /** `saved-000120`, with a suffix when that name is taken. */
  #freshId(): CheckpointId {
    for (let times = 1; ; times++) {
      const id = checkpointIdOf(askedCheckpointPrefix, this.step, times);
      if (!existsSync(join(this.of.checkpointFolder, id))) return id;
    }
  }

  /** Whether a checkpoint stays: at the end of a stage, at a step that the configuration names, or before a change. */
  #keeps(step: number): boolean {
    const { steps, keepCheckpointsAt } = this.of.config;
    return step % steps === 0 || keepCheckpointsAt.includes(step) || this.#changedAt.slice(-keptChanges).includes(step);
  }

  async #removeOld(): Promise<void> {
    const { segmentFrom, from } = this.of;
    const automatic = (await readdir(this.of.checkpointFolder))
      .flatMap((name) => {
        const [, step, times = '1'] = /^step-(\d+)(?:-(\d+))?$/.exec(name) ?? [];
        return step === undefined ? [] : [{ name, step: Number(step), times: Number(times) }];
      })
      // Checkpoints of an earlier segment after this one's start are left alone.
      .filter(({ name, step }) => !segmentFrom || step <= from!.position.step || this.#written.has(name))
      .sort((a, b) => a.step - b.step || a.times - b.times);
    for (const { name } of automatic.slice(1, -keptCheckpoints).filter(({ step }) => !this.#keeps(step))) {
      // Emitted first: to offer a removed checkpoint is worse than to keep one that is not offered.
      this.#emit({ type: 'checkpoint_removed', checkpointId: CheckpointId.parse(name) });
      await rm(join(this.of.checkpointFolder, name), { recursive: true, force: true });
    }
  }

  #rateAt(step: number): number {
    const { schedule, warmupSteps, steps } = this.of.config;
    return learningRateAt(step - this.#stage.firstStep, {
      kind: schedule,
      peak: this.#learningRate,
      warmupSteps,
      steps,
    });
  }

  #resolve(selection: TrainableSelection): string[] {
    const resolved = resolveSelection(selection, this.#model);
    if (!resolved.ok) throw new Error(resolved.reason);
    return resolved.trainable;
  }

  #trainableSize(): number {
    return this.#trainable.reduce((sum, name) => sum + this.of.method.model.parameters.parameter(name).size, 0);
  }

  #emit(
    event: UnnumberedEvent extends infer E
      ? E extends UnnumberedEvent
        ? Omit<E, 'step' | 'wallTimeMs'>
        : never
      : never,
  ): void {
    this.of.sink.emit({ ...event, step: this.step, wallTimeMs: Date.now() } as UnnumberedEvent);
  }
}

/**
 * The base model's scores: all probe values except those that are 0 by definition or describe the probe itself, and the
 * number of questions per accuracy, which gives its noise.
 */
function baselineOf(probes: ProbeSuite): Record<string, number> {
  const scores = Object.entries(probes.baseline).filter(([name]) => !/^(drift|contribution|probe)\//.test(name));
  return { ...Object.fromEntries(scores), [metrics.questionsPerTask]: probes.questionsPerTask };
}

/** A selection as text. Two texts are equal only if both select the same. */
function selectionText(selection: TrainableSelection): string {
  const names = selection.kind === 'groups' ? selection.groups.join(',') : describeSelection(selection);
  return names.length <= longestChangeText ? names : describeSelection(selection);
}

/** @param a, b names without repeats */
const haveSameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && new Set([...a, ...b]).size === a.length;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
