import * as tf from '@tensorflow/tfjs-core';
import { Graphs } from './backend/graphs.js';
import type { HostTensor } from './model/vision-language-model.js';

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled: each step subtracts learningRate * weightDecay * weight, apart from the gradient's update. */
  weightDecay: number;
}
export const adamWDefaults: AdamWOptions = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01 };

/** Optimizer state on the host, by parameter name. It holds only parameters that were ever trained. */
export interface AdamWState {
  steps: Record<string, number>;
  /** `<name>.exp_avg` and `<name>.exp_avg_sq`, PyTorch's words for first and second moment. */
  tensors: Map<string, HostTensor>;
}

interface Moments {
  steps: number;
  expAvg: tf.Tensor;
  expAvgSq: tf.Tensor;
}
/** Parameters with the same number of steps and the same decay, as one flat vector: a few kernels update them all. */
interface Bucket extends Moments {
  names: string[];
  sizes: number[];
  decays: boolean;
}

/** No norm exceeds it: as the limit, it switches clipping off. */
const largestFloat = 3.4e38;

/** Matrices decay; norms, biases (as in nanoGPT) and the tables of tokens and positions do not. */
const decaysWeight = (name: string, rank: number): boolean => rank > 1 && !/embed_tokens|position_embedding/.test(name);

/**
 * AdamW (Loshchilov & Hutter 2019; same numbers as torch.optim.AdamW) keyed by parameter name.
 *
 * tfjs-core's Adam keeps its moments by position in the variable list, so freezing during a run would give them to the
 * wrong variable. Here each parameter has its own moments and its own step count. Freezing keeps both, and an unfrozen
 * parameter continues from them. A parameter that was never trained has none and costs no memory.
 */
export class AdamW {
  readonly #options: AdamWOptions;
  /** State of parameters that are frozen now. */
  readonly #parked = new Map<string, Moments>();
  #buckets: Bucket[] = [];
  readonly #graphs = new Graphs();

  constructor(options: Partial<AdamWOptions> = {}) {
    this.#options = { ...adamWDefaults, ...options };
  }

  /**
   * Takes one step for exactly the parameters that have a gradient; all others stay bit for bit as they are. First
   * scales gradients down to the global L2 norm `maxGradientNorm` (as torch.nn.utils.clip_grad_norm_). Reads nothing
   * from the device.
   * @returns the gradients' global L2 norm before clipping; the caller disposes it
   */
  apply(
    parameters: ReadonlyMap<string, tf.Variable>,
    gradients: ReadonlyMap<string, tf.Tensor>,
    learningRate: number,
    maxGradientNorm = Infinity,
  ): tf.Scalar {
    this.#activate(parameters, [...gradients.keys()]);
    const parts = this.#buckets.map((bucket): Part => {
      const { names, sizes, decays, steps, expAvg, expAvgSq } = bucket;
      return {
        ...{ names, sizes, decays, expAvg, expAvgSq },
        gradients: names.map((name) => gradients.get(name)!),
        variables: names.map((name) => parameters.get(name)!),
        ...this.#factors(steps + 1, learningRate),
      };
    });
    const limit = tf.scalar(Math.min(maxGradientNorm, largestFloat));
    const inputs = [
      limit,
      ...parts.flatMap(({ gradients, variables, expAvg, expAvgSq, stepSize, root, kept }) => [
        ...[...gradients, ...variables],
        ...[expAvg, expAvgSq, stepSize, root, kept],
      ]),
    ];
    const name = `AdamW of ${parts.map(({ names }) => names.join(', ')).join('; ')}`;
    const { norm, ...results } = this.#graphs.run(name, inputs, () => updated(parts, limit, this.#options));
    parts.forEach(({ names, variables, stepSize, root, kept }, index) => {
      const bucket = this.#buckets[index]!;
      tf.dispose([stepSize, root, kept, bucket.expAvg, bucket.expAvgSq]);
      bucket.expAvg = tf.keep(results[`${index} exp_avg`]!);
      bucket.expAvgSq = tf.keep(results[`${index} exp_avg_sq`]!);
      bucket.steps++;
      names.forEach((name, i) => variables[i]!.assign(results[name]!));
      tf.dispose(names.map((name) => results[name]!));
    });
    limit.dispose();
    return norm as tf.Scalar;
  }

  /** The factors that depend on the step, as scalars on the device, so that one graph serves every step. */
  #factors(step: number, learningRate: number): Pick<Part, 'stepSize' | 'root' | 'kept'> {
    const { beta1, beta2, weightDecay } = this.#options;
    return {
      stepSize: tf.scalar(learningRate / (1 - beta1 ** step)),
      root: tf.scalar(Math.sqrt(1 - beta2 ** step)),
      kept: tf.scalar(1 - learningRate * weightDecay),
    };
  }

  /**
   * Bytes on the device that the optimizer takes beside the model: two moments for each parameter that was ever
   * trained.
   */
  get bytes(): number {
    return [...this.#parked.values(), ...this.#buckets].reduce((sum, { expAvg }) => sum + 8 * expAvg.size, 0);
  }

  async state(parameters: ReadonlyMap<string, tf.Variable>): Promise<AdamWState> {
    this.#park();
    const state: AdamWState = { steps: {}, tensors: new Map() };
    // In parameter order, so that equal states give equal files.
    for (const [name, { shape }] of parameters) {
      const moments = this.#parked.get(name);
      if (!moments) continue;
      state.steps[name] = moments.steps;
      for (const [word, tensor] of [
        ['exp_avg', moments.expAvg],
        ['exp_avg_sq', moments.expAvgSq],
      ] as const)
        state.tensors.set(`${name}.${word}`, { shape: [...shape], data: Float32Array.from(await tensor.data()) });
    }
    return state;
  }

  /** Replaces all state. @throws Error when a moment is missing */
  load(state: AdamWState): void {
    this.#forget();
    for (const [name, steps] of Object.entries(state.steps)) {
      const moment = (word: string): tf.Tensor => {
        const tensor = state.tensors.get(`${name}.${word}`);
        if (!tensor) throw new Error(`The optimizer state lacks ${name}.${word}.`);
        return tf.keep(tf.tensor1d(tensor.data));
      };
      this.#parked.set(name, { steps, expAvg: moment('exp_avg'), expAvgSq: moment('exp_avg_sq') });
    }
  }

  dispose(): void {
    this.#forget();
    this.#graphs.dispose();
  }

  #forget(): void {
    for (const { expAvg, expAvgSq } of [...this.#parked.values(), ...this.#buckets]) tf.dispose([expAvg, expAvgSq]);
    this.#parked.clear();
    this.#buckets = [];
  }

  /** Makes the buckets hold exactly these parameters. Does nothing when they already do. */
  #activate(parameters: ReadonlyMap<string, tf.Variable>, names: readonly string[]): void {
    const active = new Set(this.#buckets.flatMap((bucket) => bucket.names));
    if (active.size === names.length && names.every((name) => active.has(name))) return;
    this.#park();
    const alike = new Map<string, Pick<Bucket, 'names' | 'sizes' | 'steps' | 'decays'>>();
    for (const name of names) {
      const variable = parameters.get(name);
      if (!variable) throw new Error(`There is a gradient for ${name}, but no such parameter.`);
      const steps = this.#parked.get(name)?.steps ?? 0;
      const decays = decaysWeight(name, variable.rank);
      const key = `${steps} ${decays}`;
      const bucket = alike.get(key) ?? { names: [], sizes: [], steps, decays };
      alike.set(key, bucket);
      bucket.names.push(name);
      bucket.sizes.push(variable.size);
    }
    this.#buckets = [...alike.values()].map((bucket) => {
      const moments = (word: 'expAvg' | 'expAvgSq'): tf.Tensor => {
        const parts = bucket.names.map((name, i) => this.#parked.get(name)?.[word] ?? tf.zeros([bucket.sizes[i]!]));
        return tf.concat(parts);
      };
      const [expAvg, expAvgSq] = tf.tidy(() => [moments('expAvg'), moments('expAvgSq')]) as [tf.Tensor, tf.Tensor];
      return { ...bucket, expAvg: tf.keep(expAvg), expAvgSq: tf.keep(expAvgSq) };
    });
    for (const name of names) {
      const moments = this.#parked.get(name);
      if (moments) tf.dispose([moments.expAvg, moments.expAvgSq]);
      this.#parked.delete(name);
    }
  }

  /** Splits the buckets into one state per parameter. */
  #park(): void {
    for (const bucket of this.#buckets) {
      const { names, sizes, steps, expAvg, expAvgSq } = bucket;
      const [first, second] = [tf.split(expAvg, sizes), tf.split(expAvgSq, sizes)];
      names.forEach((name, i) =>
        this.#parked.set(name, { steps, expAvg: tf.keep(first[i]!), expAvgSq: tf.keep(second[i]!) }),
      );
      tf.dispose([expAvg, expAvgSq]);
    }
    this.#buckets = [];
  }
}

/** One bucket's inputs to a step, from which its new weights and moments are computed. */
interface Part extends Pick<Bucket, 'names' | 'sizes' | 'decays' | 'expAvg' | 'expAvgSq'> {
  gradients: tf.Tensor[];
  variables: tf.Variable[];
  /** learningRate / (1 - beta1^t) */
  stepSize: tf.Scalar;
  /** sqrt(1 - beta2^t) */
  root: tf.Scalar;
  /** The factor that decay leaves of a weight: 1 - learningRate * weightDecay. */
  kept: tf.Scalar;
}

/**
 * One step as a function of tensors only.
 * @returns `norm`, `<index of the part> exp_avg` and `exp_avg_sq`, and each new weight by its name
 */
function updated(parts: readonly Part[], limit: tf.Scalar, { beta1, beta2, epsilon }: AdamWOptions): tf.NamedTensorMap {
  const flat = (tensors: readonly tf.Tensor[]): tf.Tensor =>
    tf.concat(tensors.map((tensor) => tf.reshape(tensor, [-1])));
  const flatGradients = parts.map(({ gradients }) => flat(gradients));
  const squares = flatGradients.map((gradient) => tf.sum(tf.square(gradient)));
  const norm = tf.sqrt(squares.length > 0 ? tf.addN(squares) : tf.scalar(0));
  const scale = tf.minimum(1, tf.div(limit, tf.add(norm, 1e-6)));
  const results: tf.NamedTensorMap = { norm };
  parts.forEach(({ names, sizes, decays, variables, stepSize, root, kept, ...moments }, index) => {
    const gradient = tf.mul(flatGradients[index]!, scale);
    const expAvg = tf.add(tf.mul(moments.expAvg, beta1), tf.mul(gradient, 1 - beta1));
    const expAvgSq = tf.add(tf.mul(moments.expAvgSq, beta2), tf.mul(tf.square(gradient), 1 - beta2));
    const change = tf.div(tf.mul(expAvg, stepSize), tf.add(tf.div(tf.sqrt(expAvgSq), root), epsilon));
    const weights = flat(variables);
    const moved = tf.sub(decays ? tf.mul(weights, kept) : weights, change);
    Object.assign(results, { [`${index} exp_avg`]: expAvg, [`${index} exp_avg_sq`]: expAvgSq });
    tf.split(moved, sizes).forEach((part, i) => (results[names[i]!] = tf.reshape(part, variables[i]!.shape)));
  });
  return results;
}
