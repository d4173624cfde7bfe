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
import { heldOutTasks } from '../data/held-out-tasks.js';
import { targetTasks } from '../data/target-tasks.js';
import { drawQuestions, type Task } from '../data/task.js';
import { prepareQuestion } from '../models/built-in/processing.js';
import type { Example, Inputs, Model } from '../models/model.js';
import { uploadInputs } from '../models/upload.js';
import { numberTokenIds } from '../number-tokens.js';
import { Programs } from '../runtime/program.js';
import type { Tokenizer } from '../tokenizer.js';
import { examplesRight, percentTrue, wantedTokens } from './accuracy.js';
import { contributions, contributionShift } from './contribution.js';
import { entropy, jsDivergence, klDivergence, tokenMass, topOneAgreement } from './distribution.js';
import { WeightDrift } from './weight-drift.js';

export interface ProbeOptions {
  /** Target tasks whose accuracy is measured. */
  targets: readonly string[];
  questionsPerTask?: number;
  seed?: number;
}

/** The questions of one task. Outputs are those that predict an answer or its end, of all tasks in their order. */
interface ProbeSet {
  task: Task;
  examples: Example[];
  /** Its outputs are [from, to). */
  from: number;
  to: number;
  /** Its outputs that predict a word of the answer. */
  answers: number[];
}

/** Questions of one forward pass, their tensors on the device. */
interface Pass {
  inputs: Inputs;
  /** Number of its outputs. */
  outputs: number;
  /** The ones among them that predict a word of a held-out answer. */
  heldOutAnswers: tf.Tensor1D;
  /** Cached visual features, and the states of the weights that made them. */
  seen?: { features: tf.Tensor2D; by: object[] };
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
  readonly #passes: Pass[];
  readonly #numberIds: number[];
  readonly #vocabSize: number;
  readonly #programs = new Programs();
  /** The base model's log-probabilities, [outputs, V], its blocks' contributions, and the drift from its weights. */
  #baseOutputs: Float32Array = new Float32Array(0);
  #baseContributions: tf.Tensor3D | undefined;
  #weightDrift: WeightDrift | undefined;
  /** Names of the weights that visual features depend on. */
  #seeing: ReadonlySet<string> = new Set();
  #baseline: Record<string, number> = {};

  private constructor(model: Model, tokenizer: Tokenizer, options: ProbeOptions) {
    const { targets, questionsPerTask = 24, seed = 7 } = options;
    const asked = targetTasks.filter(({ name }) => targets.includes(name) || name === numberPrompts);
    let outputs = 0;
    this.#sets = [...heldOutTasks, ...asked].map((task): ProbeSet => {
      const questions = drawQuestions(task, `probes ${seed}`, questionsPerTask);
      const examples = questions.map((question) => prepareQuestion(question, tokenizer));
      const from = outputs;
      const wanted = examples.flatMap(wantedTokens);
      outputs += wanted.length;
      const answers = wanted.flatMap((token, i) => (token === tokenizer.endId ? [] : [from + i]));
      return { task, examples, from, to: outputs, answers };
    });
    const examples = this.#sets.flatMap(({ task, examples }) => examples.map((example) => ({ task, example })));
    const length = Math.max(...examples.map(({ example }) => example.ids.length));
    const passes = Math.ceil(examples.length / mostRows);
    this.#passes = Array.from({ length: passes }, (_, pass): Pass => {
      const [from, to] = [pass, pass + 1].map((part) => Math.round((part * examples.length) / passes));
      const some = examples.slice(from, to);
      const wanted = some.flatMap(({ task, example }) => wantedTokens(example).map((token) => ({ task, token })));
      const heldOut = [...wanted.keys()].filter(
        (at) => wanted[at]!.token !== tokenizer.endId && wanted[at]!.task.kind === 'held_out',
      );
      return {
        inputs: uploadInputs(
          model.collate(
            some.map(({ example }) => example),
            { length },
          ),
        ),
        outputs: wanted.length,
        heldOutAnswers: tf.tensor1d(heldOut, 'int32'),
      };
    });
    this.#numberIds = numberTokenIds(tokenizer.words);
    this.#vocabSize = tokenizer.size;
  }

  /** @param base the model with the base weights, to which every later probe is compared */
  static async create(base: Model, tokenizer: Tokenizer, options: ProbeOptions): Promise<ProbeSuite> {
    const suite = new ProbeSuite(base, tokenizer, options);
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
    return this.#sets[0]!.examples.length;
  }

  /**
   * Metric values of the model with its current weights, by name; `probe/duration_ms` is the duration of the probe
   * itself.
   */
  async run(model: Model): Promise<Record<string, number>> {
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
    for (const { inputs, heldOutAnswers, seen } of this.#passes)
      tf.dispose([...Object.values(inputs), heldOutAnswers, seen?.features]);
    this.#baseContributions?.dispose();
    this.#programs.dispose();
  }

  #numberMass(outputs: Float32Array, { answers }: ProbeSet): number {
    return tokenMass(this.#rows(outputs, answers), this.#vocabSize, this.#numberIds);
  }

  /**
   * Log-probabilities of the outputs, [outputs, V], and the contributions of the decoder's blocks to the held-out
   * answers, [2 L, P, V] on the device; the caller disposes these.
   */
  async #outputs(model: Model): Promise<{ logProbabilities: Float32Array; contributions: tf.Tensor3D }> {
    const passes = this.#passes.map((pass) => {
      const { patches: _, ...inputs } = pass.inputs;
      return { ...pass, inputs: { ...inputs, features: this.#features(model, pass) } };
    });
    const tensors = passes.flatMap(({ inputs, heldOutAnswers }) => [...Object.values(inputs), heldOutAnswers]);
    const results = this.#programs.run('probe', tensors, [...model.parameters], () => {
      const read = passes.map(({ inputs, outputs, heldOutAnswers }) => {
        const residuals: tf.Tensor2D[] = [];
        const last = model.hidden(inputs, (x) => residuals.push(x));
        const heldOut = residuals.map((residual) => tf.gather(residual, heldOutAnswers));
        const some = tf.slice(last, [0, 0], [outputs, -1]);
        return {
          logProbabilities: tf.logSoftmax(model.logits(some)),
          effect: contributions(heldOut, (x) => model.logits(x)),
        };
      });
      return {
        logProbabilities: tf.concat(read.map(({ logProbabilities }) => logProbabilities)),
        contributions: tf.concat(
          read.map(({ effect }) => effect),
          1,
        ),
      };
    });
    const logProbabilities = (await results['logProbabilities']!.data()) as Float32Array;
    results['logProbabilities']!.dispose();
    return { logProbabilities, contributions: results['contributions'] as tf.Tensor3D };
  }

  /**
   * The visual features of a pass. Most recipes freeze the vision tower and the projector, and the pictures are the same
   * at each probe: the features are computed again only after one of these weights has changed.
   */
  #features(model: Model, pass: Pass): tf.Tensor2D {
    const by = [...model.parameters].flatMap(({ name, state }) => (this.#seeing.has(name) ? [state] : []));
    const asBefore = by.length === pass.seen?.by.length && by.every((state, index) => state === pass.seen!.by[index]);
    if (!asBefore) {
      pass.seen?.features.dispose();
      const inputs = Object.values(pass.inputs);
      const { features } = this.#programs.run('visual features', inputs, [...model.parameters], () => ({
        features: model.features!(pass.inputs),
      }));
      pass.seen = { features: tf.keep(features!) as tf.Tensor2D, by };
    }
    return pass.seen!.features;
  }

  /** The given rows of the outputs, [rows, V]. */
  #rows(outputs: Float32Array, rows: readonly number[]): Float32Array {
    const size = this.#vocabSize;
    const some = new Float32Array(rows.length * size);
    rows.forEach((output, row) => some.set(outputs.subarray(output * size, (output + 1) * size), row * size));
    return some;
  }

  /** Percentage of one task's questions that are answered right. */
  #accuracy(outputs: Float32Array, { examples, from, to }: ProbeSet): number {
    const size = this.#vocabSize;
    const tokens = Array.from({ length: to - from }, (_, i) => {
      const first = (from + i) * size;
      let best = first;
      for (let at = first + 1; at < first + size; at++) if (outputs[at]! > outputs[best]!) best = at;
      return best - first;
    });
    return percentTrue(examplesRight(tokens, examples));
  }
}

/** Names of the weights that visual features depend on. */
function seesPictures(model: Model): ReadonlySet<string> {
  const { groups, parameters } = model.describe();
  const seeing = new Set(groups.flatMap(({ name, part }) => (part === 'vision' || part === 'projector' ? [name] : [])));
  return new Set(parameters.flatMap(({ name, group }) => (seeing.has(group) ? [name] : [])));
}
