import * as tf from '@tensorflow/tfjs-core';
import {
  blocks,
  contributionChange,
  heldOutAccuracy,
  metrics,
  numberTokenPush,
  targetAccuracy,
  weightDrift,
} from '@plumbline/shared/metric';
import { collate, toDevice, type HostBatch } from '../data/batch.js';
import { heldOutTasks } from '../data/held-out-tasks.js';
import { targetTasks } from '../data/target-tasks.js';
import { drawQuestions, type Task } from '../data/task.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import { numberTokenIds } from '../number-tokens.js';
import { Programs } from '../runtime/program.js';
import type { Tokenizer } from '../tokenizer.js';
import { percentTrue, rowsRight } from './accuracy.js';
import { contributions, contributionShift } from './contribution.js';
import { entropy, jsDivergence, klDivergence, tokenMass, topOneAgreement } from './distribution.js';
import { WeightDrift } from './weight-drift.js';

export interface ProbeOptions {
  /** Target tasks whose accuracy is measured. */
  targets: readonly string[];
  questionsPerTask?: number;
  seed?: number;
}

/**
 * The questions of one task. Outputs are read, row by row of all tasks, at positions that predict an answer or its end.
 */
interface ProbeSet {
  task: Task;
  /** Its questions are rows [from, to) of all tasks. */
  from: number;
  to: number;
  /** Its outputs are [readFrom, readTo) of all that are read. */
  readFrom: number;
  readTo: number;
  /** Its outputs that predict a word of the answer. */
  answers: number[];
}

/** Questions of one forward pass, their tensors on the device. */
interface Pass {
  images: tf.Tensor4D;
  inputIds: tf.Tensor2D;
  /** The positions of outputs that are read: indices into [rows of the pass, T]. */
  read: number[];
  /** The ones among them that predict a word of a held-out answer. */
  heldOutAnswers: tf.Tensor1D;
  /** Cached image tokens, and the states of the weights that made them. */
  seen?: { tokens: tf.Tensor3D; by: object[] };
}

/**
 * The most rows of one forward pass. Tasks share passes, which is faster than one pass per task; texts are cut to the
 * longest. Passes have equal size because TensorFlow runs them in parallel.
 */
const mostRows = 128;

/** Number-token bias is read where a number is expected (counting) and where none is (captions). */
const numberPrompts = 'counting';
const plainPrompts = 'caption';

/**
 * Probes of drift on a fixed set of questions from the evaluation splits, against the base model's outputs, which are
 * computed once when the suite is made. Outputs are read at the positions that predict a word of the answer, given the
 * right words before; the end of the answer is excluded.
 *
 * Shift (KL, JS, entropy, top-1 agreement) is measured on the held-out prompts only: training is meant to change the
 * answers to the target's prompts. Definitions: arXiv 2510.08564.
 */
export class ProbeSuite {
  readonly #sets: ProbeSet[];
  /** All questions, task after task. */
  readonly #host: HostBatch;
  /** The positions of outputs that are read: flat indices into [rows of all tasks, T]. */
  readonly #read: number[];
  readonly #passes: Pass[];
  readonly #numberIds: number[];
  readonly #vocabSize: number;
  readonly #programs = new Programs();
  /** The base model's log-probabilities, [outputs read, V], its blocks' contributions, and the drift from its weights. */
  #baseOutputs: Float32Array = new Float32Array(0);
  #baseContributions: tf.Tensor3D | undefined;
  #weightDrift: WeightDrift | undefined;
  /** Names of the weights that image tokens depend on. */
  #seeing: ReadonlySet<string> = new Set();
  #baseline: Record<string, number> = {};

  private constructor(tokenizer: Tokenizer, options: ProbeOptions) {
    const { targets, questionsPerTask = 24, seed = 7 } = options;
    const asked = targetTasks.filter(({ name }) => targets.includes(name) || name === numberPrompts);
    const tasks = [...heldOutTasks, ...asked];
    const examples = tasks.flatMap((task) => drawQuestions(task, `probes ${seed}`, questionsPerTask));
    const longest = Math.max(...examples.map(({ prompt, answer }) => tokenizer.encode(`${prompt} ${answer}`).length));
    const host = (this.#host = collate(examples, tokenizer, longest));
    this.#read = [...host.lossMask.keys()].filter((at) => host.lossMask[at] === 1);
    const isAnswer = (at: number): boolean => host.targetIds[at] !== tokenizer.endId;
    const isHeldOut = (at: number): boolean => tasks[Math.floor(at / longest / questionsPerTask)]!.kind === 'held_out';
    this.#sets = tasks.map((task, index) => {
      const [from, to] = [index * questionsPerTask, (index + 1) * questionsPerTask];
      const outputs = [...this.#read.keys()].filter(
        (output) => this.#read[output]! >= from * longest && this.#read[output]! < to * longest,
      );
      const answers = outputs.filter((output) => isAnswer(this.#read[output]!));
      return { task, from, to, readFrom: outputs[0]!, readTo: outputs.at(-1)! + 1, answers };
    });
    const passes = Math.ceil(examples.length / mostRows);
    this.#passes = Array.from({ length: passes }, (_, pass) => {
      const [from, to] = [pass, pass + 1].map((part) => Math.round((part * examples.length) / passes)) as [
        number,
        number,
      ];
      const { images, inputIds, ...unread } = toDevice(collate(examples.slice(from, to), tokenizer, longest));
      tf.dispose(Object.values(unread));
      const read = this.#read.filter((at) => at >= from * longest && at < to * longest);
      const heldOutAnswers = [...read.keys()].filter((output) => isAnswer(read[output]!) && isHeldOut(read[output]!));
      return {
        ...{ images, inputIds, heldOutAnswers: tf.tensor1d(heldOutAnswers, 'int32') },
        read: read.map((at) => at - from * longest),
      };
    });
    this.#numberIds = numberTokenIds(tokenizer.words);
    this.#vocabSize = tokenizer.size;
  }

  /** @param base the model with the base weights, to which every later probe is compared */
  static async create(base: VisionLanguageModel, tokenizer: Tokenizer, options: ProbeOptions): Promise<ProbeSuite> {
    const suite = new ProbeSuite(tokenizer, options);
    suite.#weightDrift = await WeightDrift.create(base);
    suite.#seeing = seesPictures(base);
    const { logProbabilities, contributions } = await suite.#outputs(base);
    suite.#baseOutputs = logProbabilities;
    suite.#baseContributions = contributions;
    suite.#baseline = await suite.run(base);
    return suite;
  }

  /** The base model's value of every metric of `run`. */
  get baseline(): Readonly<Record<string, number>> {
    return this.#baseline;
  }

  /** The number of questions per task. */
  get questionsPerTask(): number {
    return this.#host.size / this.#sets.length;
  }

  /**
   * Metric values of the model with its current weights, by name; `probe/duration_ms` is the duration of the probe
   * itself.
   */
  async run(model: VisionLanguageModel): Promise<Record<string, number>> {
    const startMs = performance.now();
    const values: Record<string, number> = {};
    const accuracies: number[] = [];
    const { logProbabilities: outputs, contributions } = await this.#outputs(model);
    for (const set of this.#sets) {
      const { name, kind } = set.task;
      const accuracy = this.#accuracy(outputs, set);
      values[kind === 'held_out' ? heldOutAccuracy(name) : targetAccuracy(name)] = accuracy;
      if (kind === 'held_out') accuracies.push(accuracy);
      if (name === numberPrompts) values[metrics.numberTokensTarget] = this.#numberMass(outputs, set);
      if (name === plainPrompts) values[metrics.numberTokensHeldOut] = this.#numberMass(outputs, set);
    }
    values[metrics.heldOutMean] = accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length;

    const heldOut = this.#sets.flatMap(({ task, answers }) => (task.kind === 'held_out' ? answers : []));
    const [base, now] = [this.#rows(this.#baseOutputs, heldOut), this.#rows(outputs, heldOut)];
    values[metrics.kl] = klDivergence(base, now, this.#vocabSize);
    values[metrics.js] = jsDivergence(base, now, this.#vocabSize);
    values[metrics.entropy] = entropy(now, this.#vocabSize);
    values[metrics.top1Agreement] = topOneAgreement(base, now, this.#vocabSize);

    const shift = await contributionShift(this.#baseContributions!, contributions, this.#numberIds);
    contributions.dispose();
    shift.change.forEach((change, block) => {
      const place = [Math.floor(block / blocks.length), blocks[block % blocks.length]!] as const;
      values[contributionChange(...place)] = change;
      values[numberTokenPush(...place)] = shift.numberPush[block]!;
    });

    for (const [group, drift] of await this.#weightDrift!.of(model)) values[weightDrift(group)] = drift;
    values[metrics.probeDurationMs] = performance.now() - startMs;
    return values;
  }

  dispose(): void {
    for (const { images, inputIds, heldOutAnswers, seen } of this.#passes)
      tf.dispose([images, inputIds, heldOutAnswers, seen?.tokens]);
    this.#baseContributions?.dispose();
    this.#programs.dispose();
  }

  #numberMass(outputs: Float32Array, { answers }: ProbeSet): number {
    return tokenMass(this.#rows(outputs, answers), this.#vocabSize, this.#numberIds);
  }

  /**
   * Log-probabilities of the outputs that are read, [outputs, V], and the contributions of the decoder's blocks to the
   * held-out answers, [2 L, P, V] on the device; the caller disposes these.
   */
  async #outputs(model: VisionLanguageModel): Promise<{ logProbabilities: Float32Array; contributions: tf.Tensor3D }> {
    const passes = this.#passes.map((pass) => ({ ...pass, seen: this.#imageTokens(model, pass) }));
    const inputs = passes.flatMap(({ seen, inputIds, heldOutAnswers }) => [seen, inputIds, heldOutAnswers]);
    const results = this.#programs.run('probe', [...model.tables, ...inputs], [...model.parameters], () => {
      const outputs = passes.map(({ seen, inputIds, read, heldOutAnswers }) => {
        const residuals = model.residuals(seen, inputIds, read);
        const heldOut = residuals.map((residual) => tf.gather(residual, heldOutAnswers));
        return {
          logProbabilities: tf.logSoftmax(model.head(residuals.at(-1)!)),
          effect: contributions(heldOut, (x) => model.head(x)),
        };
      });
      return {
        logProbabilities: tf.concat(outputs.map(({ logProbabilities }) => logProbabilities)),
        contributions: tf.concat(
          outputs.map(({ effect }) => effect),
          1,
        ),
      };
    });
    const logProbabilities = (await results['logProbabilities']!.data()) as Float32Array;
    results['logProbabilities']!.dispose();
    return { logProbabilities, contributions: results['contributions'] as tf.Tensor3D };
  }

  /**
   * The image tokens of a pass, [B, N, C]. Most recipes freeze the vision tower and the projector, and the pictures are
   * the same at each probe: the tokens are computed again only after one of these weights has changed.
   */
  #imageTokens(model: VisionLanguageModel, pass: Pass): tf.Tensor3D {
    const by = [...model.parameters].flatMap(({ name, state }) => (this.#seeing.has(name) ? [state] : []));
    const asBefore = by.length === pass.seen?.by.length && by.every((state, index) => state === pass.seen!.by[index]);
    if (!asBefore) {
      pass.seen?.tokens.dispose();
      const { tokens } = this.#programs.run('image tokens', [pass.images], [...model.parameters], () => ({
        tokens: model.imageEmbeddings(pass.images),
      }));
      pass.seen = { tokens: tf.keep(tokens!) as tf.Tensor3D, by };
    }
    return pass.seen!.tokens;
  }

  /** The given rows of the outputs, [rows, V]. */
  #rows(outputs: Float32Array, rows: readonly number[]): Float32Array {
    const size = this.#vocabSize;
    const some = new Float32Array(rows.length * size);
    rows.forEach((output, row) => some.set(outputs.subarray(output * size, (output + 1) * size), row * size));
    return some;
  }

  /** Percentage of one task's questions that are answered right. */
  #accuracy(outputs: Float32Array, { from, to, readFrom, readTo }: ProbeSet): number {
    const { length, targetIds, lossMask } = this.#host;
    const size = this.#vocabSize;
    const [first, end] = [from * length, to * length];
    const tokens = new Int32Array(end - first);
    for (let output = readFrom; output < readTo; output++) {
      let best = output * size;
      for (let at = best + 1; at < (output + 1) * size; at++) if (outputs[at]! > outputs[best]!) best = at;
      tokens[this.#read[output]! - first] = best - output * size;
    }
    return percentTrue(rowsRight(tokens, targetIds.subarray(first, end), lossMask.subarray(first, end), length));
  }
}

/** Names of the weights that image tokens depend on. */
function seesPictures(model: VisionLanguageModel): ReadonlySet<string> {
  const { groups, parameters } = model.describe();
  const seeing = new Set(groups.flatMap(({ name, part }) => (part === 'vision' || part === 'projector' ? [name] : [])));
  return new Set(parameters.flatMap(({ name, group }) => (seeing.has(group) ? [name] : [])));
}
