import * as tf from '@tensorflow/tfjs-core';
import { heldOutAccuracy, metrics, targetAccuracy, weightDrift } from '@plumbline/shared/metric';
import { parameterGroup } from '@plumbline/shared/parameter';
import { collate, toDevice, type HostBatch } from '../data/batch.js';
import { heldOutTasks } from '../data/held-out-tasks.js';
import { targetTasks } from '../data/target-tasks.js';
import type { Task } from '../data/task.js';
import type { ModelBatch, VisionLanguageModel } from '../model/vision-language-model.js';
import { numberTokenIds } from '../number-tokens.js';
import { Rng } from '../rng.js';
import type { Tokenizer } from '../tokenizer.js';
import { percentTrue, rowsRight } from './accuracy.js';
import { entropy, jsDivergence, klDivergence, tokenMass, topOneAgreement } from './distribution.js';
import { groupDrift, type FlatParameter } from './weight-drift.js';

export interface ProbeOptions {
  /** Target tasks whose accuracy is measured. */
  targets: readonly string[];
  questionsPerTask?: number;
  seed?: number;
}

/** Questions of one task: rows [from, to) of all questions. */
interface ProbeSet {
  task: Task;
  from: number;
  to: number;
  /** Flat positions in [rows of all tasks, T] that predict a word of the answer. */
  answerPositions: number[];
}

/**
 * Rows of one forward pass. All tasks share a pass and their texts are cut to the longest: eight passes of 24 rows took
 * twice as long as one of 192.
 */
const rowsPerPass = 256;

/** Number-token bias is read where a number is due (counting) and where none is (captions). */
const numberPrompts = 'counting';
const plainPrompts = 'caption';

/**
 * Probes of drift on a fixed set of questions from the evaluation splits, against the base model's own outputs, which
 * are taken once when the suite is made. Outputs are read at the positions that predict a word of the answer, given
 * the right words before (the end of the answer is not such a position).
 *
 * Shift (KL, JS, entropy, top-1 agreement) is measured on the held-out prompts alone: that the answers to the target's
 * own prompts change is what training is for. Definitions: arXiv 2510.08564.
 */
export class ProbeSuite {
  readonly #sets: ProbeSet[];
  /** All questions, task after task, on the host for scoring and on the device, pass by pass, for the model. */
  readonly #host: HostBatch;
  readonly #passes: ModelBatch[] = [];
  readonly #numberIds: number[];
  readonly #vocabSize: number;
  readonly #parameters: FlatParameter[];
  /** Base log-probabilities a task, [answer positions, V], and base weights, flat. */
  #baseOutputs = new Map<string, Float32Array>();
  #baseWeights = new Float32Array(0);
  #baseline: Record<string, number> = {};

  private constructor(model: VisionLanguageModel, tokenizer: Tokenizer, options: ProbeOptions) {
    const { targets, questionsPerTask = 24, seed = 7 } = options;
    const asked = targetTasks.filter(({ name }) => targets.includes(name) || name === numberPrompts);
    const tasks = [...heldOutTasks, ...asked];
    const examples = tasks.flatMap((task) => {
      const rng = new Rng(seed);
      return Array.from({ length: questionsPerTask }, () => task.sample(rng, 'evaluation'));
    });
    const longest = Math.max(...examples.map(({ prompt, answer }) => tokenizer.encode(`${prompt} ${answer}`).length));
    const host = (this.#host = collate(examples, tokenizer, longest));
    for (let row = 0; row < examples.length; row += rowsPerPass)
      this.#passes.push(toDevice(collate(examples.slice(row, row + rowsPerPass), tokenizer, longest)));
    this.#sets = tasks.map((task, index) => {
      const [from, to] = [index * questionsPerTask, (index + 1) * questionsPerTask];
      const answerPositions: number[] = [];
      for (let at = from * longest; at < to * longest; at++)
        if (host.lossMask[at] === 1 && host.targetIds[at] !== tokenizer.endId) answerPositions.push(at);
      return { task, from, to, answerPositions };
    });
    this.#numberIds = numberTokenIds(tokenizer.words);
    this.#vocabSize = tokenizer.size;
    this.#parameters = tf.tidy(() =>
      Object.entries(model.effectiveWeights()).map(([name, { size }]) => ({ group: parameterGroup(name), size })),
    );
  }

  /** @param base the model with the base weights: what every later probe is compared with */
  static async create(base: VisionLanguageModel, tokenizer: Tokenizer, options: ProbeOptions): Promise<ProbeSuite> {
    const suite = new ProbeSuite(base, tokenizer, options);
    suite.#baseWeights = await flatWeights(base);
    const outputs = await suite.#logProbabilities(base);
    for (const set of suite.#sets) suite.#baseOutputs.set(set.task.name, suite.#answers(outputs, set));
    suite.#baseline = await suite.run(base);
    return suite;
  }

  /** The base model's own values of every metric that `run` gives. */
  get baseline(): Readonly<Record<string, number>> {
    return this.#baseline;
  }

  /** How many questions one task's accuracy rests on. */
  get questionsPerTask(): number {
    return this.#host.size / this.#sets.length;
  }

  /** Metric values of the model as it stands, by name; `probe/duration_ms` is what the probe itself took. */
  async run(model: VisionLanguageModel): Promise<Record<string, number>> {
    const startMs = performance.now();
    const values: Record<string, number> = {};
    const heldOut: { base: Float32Array; now: Float32Array }[] = [];
    const accuracies: number[] = [];
    const outputs = await this.#logProbabilities(model);
    for (const set of this.#sets) {
      const { name, kind } = set.task;
      const answers = this.#answers(outputs, set);
      const accuracy = this.#accuracy(outputs, set);
      values[kind === 'held_out' ? heldOutAccuracy(name) : targetAccuracy(name)] = accuracy;
      if (kind === 'held_out') {
        accuracies.push(accuracy);
        heldOut.push({ base: this.#baseOutputs.get(name) ?? answers, now: answers });
      }
      if (name === numberPrompts) values[metrics.numberTokensTarget] = this.#numberMass(answers);
      if (name === plainPrompts) values[metrics.numberTokensHeldOut] = this.#numberMass(answers);
    }
    values[metrics.heldOutMean] = accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length;

    const base = joined(heldOut.map((output) => output.base));
    const now = joined(heldOut.map((output) => output.now));
    values[metrics.kl] = klDivergence(base, now, this.#vocabSize);
    values[metrics.js] = jsDivergence(base, now, this.#vocabSize);
    values[metrics.entropy] = entropy(now, this.#vocabSize);
    values[metrics.top1Agreement] = topOneAgreement(base, now, this.#vocabSize);

    for (const [group, drift] of groupDrift(this.#baseWeights, await flatWeights(model), this.#parameters))
      values[weightDrift(group)] = drift;
    values[metrics.probeDurationMs] = performance.now() - startMs;
    return values;
  }

  dispose(): void {
    for (const { images, inputIds, targetIds, lossMask } of this.#passes)
      tf.dispose([images, inputIds, targetIds, lossMask]);
  }

  #numberMass(answers: Float32Array): number {
    return tokenMass(answers, this.#vocabSize, this.#numberIds);
  }

  /** Log-probabilities at all text positions of all questions, [rows, T, V]; one read from the device a pass. */
  async #logProbabilities(model: VisionLanguageModel): Promise<Float32Array> {
    const parts: Float32Array[] = [];
    for (const pass of this.#passes) {
      const onDevice = tf.tidy(() => tf.logSoftmax(model.forward(pass)));
      parts.push((await onDevice.data()) as Float32Array);
      onDevice.dispose();
    }
    return joined(parts);
  }

  /** Log-probabilities at the answer positions of one task, [positions, V]. */
  #answers(outputs: Float32Array, { answerPositions }: ProbeSet): Float32Array {
    const size = this.#vocabSize;
    const answers = new Float32Array(answerPositions.length * size);
    answerPositions.forEach((at, row) => answers.set(outputs.subarray(at * size, (at + 1) * size), row * size));
    return answers;
  }

  /** Percent of one task's questions answered right. */
  #accuracy(outputs: Float32Array, { from, to }: ProbeSet): number {
    const { length, targetIds, lossMask } = this.#host;
    const size = this.#vocabSize;
    const [first, end] = [from * length, to * length];
    const tokens = new Int32Array(end - first);
    for (let at = first; at < end; at++) {
      if (!lossMask[at]) continue;
      let best = 0;
      for (let id = 1; id < size; id++) if (outputs[at * size + id]! > outputs[at * size + best]!) best = id;
      tokens[at - first] = best;
    }
    return percentTrue(rowsRight(tokens, targetIds.subarray(first, end), lossMask.subarray(first, end), length));
  }
}

/** All weights that the model computes with, in its order as one vector, read from the device at once. */
async function flatWeights(model: VisionLanguageModel): Promise<Float32Array<ArrayBuffer>> {
  const flat = tf.tidy(() =>
    tf.concat(Object.values(model.effectiveWeights()).map((weights) => tf.reshape(weights, [-1]))),
  );
  const data = Float32Array.from((await flat.data()) as Float32Array);
  flat.dispose();
  return data;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
