import * as tf from '@tensorflow/tfjs-core';
import type { HostTensor } from './model/vision-language-model.js';

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled: each step takes learningRate * weightDecay * weight off, apart from the gradient's update. */
  weightDecay: number;
}
export const adamWDefaults: AdamWOptions = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01 };

/** Optimizer state on the host, by parameter name; only parameters that were ever trained are in it. */
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
/** Parameters that were trained for equally many steps and decay alike, as one flat vector: a few kernels serve them all. */
interface Bucket extends Moments {
  names: string[];
  sizes: number[];
  decays: boolean;
  /** The weights as the last step left them, flat, and the variables' data then: both hold until somebody else assigns. */
  weights?: tf.Tensor;
  assigned?: object[];
}

/** Matrices decay; norms, biases (as in nanoGPT) and the tables of tokens and positions do not. */
const decaysWeight = (name: string, rank: number): boolean => rank > 1 && !/embed_tokens|position_embedding/.test(name);

/**
 * AdamW (Loshchilov & Hutter 2019; same numbers as torch.optim.AdamW) keyed by parameter name.
 *
 * tfjs-core's Adam keeps its moments by position in the variable list, so that freezing in mid-run would hand them to
 * the wrong variable. Here each parameter has its own moments and its own step count: freezing keeps both as they are,
 * and what is unfrozen later goes on from there. What was never trained has none and costs no memory.
 */
export class AdamW {
  readonly #options: AdamWOptions;
  /** State of parameters that are not trained at present. */
  readonly #parked = new Map<string, Moments>();
  #buckets: Bucket[] = [];

  constructor(options: Partial<AdamWOptions> = {}) {
    this.#options = { ...adamWDefaults, ...options };
  }

  /**
   * One step for exactly the parameters that have a gradient; all others stay bit for bit as they are.
   * Gradients are first scaled down to the global L2 norm `maxGradientNorm` (as torch.nn.utils.clip_grad_norm_).
   * Nothing is read from the device.
   * @returns the gradients' global L2 norm before clipping; the caller disposes it
   */
  apply(
    parameters: ReadonlyMap<string, tf.Variable>,
    gradients: ReadonlyMap<string, tf.Tensor>,
    learningRate: number,
    maxGradientNorm = Infinity,
  ): tf.Scalar {
    this.#activate(parameters, [...gradients.keys()]);
    const flat = (bucket: Bucket, of: ReadonlyMap<string, tf.Tensor | tf.Variable>): tf.Tensor =>
      tf.concat(bucket.names.map((name, i) => tf.reshape(of.get(name)! as tf.Tensor, [bucket.sizes[i]!])));
    return tf.tidy(() => {
      const flatGradients = this.#buckets.map((bucket) => flat(bucket, gradients));
      const squares = flatGradients.map((gradient) => tf.sum(tf.square(gradient)));
      const norm = tf.sqrt(squares.length > 0 ? tf.addN(squares) : tf.scalar(0)) as tf.Scalar;
      const scale = Number.isFinite(maxGradientNorm)
        ? tf.minimum(1, tf.div(maxGradientNorm, tf.add(norm, 1e-6)))
        : tf.scalar(1);
      this.#buckets.forEach((bucket, i) => {
        const gradient = tf.mul(flatGradients[i]!, scale);
        const variables = bucket.names.map((name) => parameters.get(name)!);
        const untouched = variables.every(({ dataId }, j) => dataId === bucket.assigned?.[j]);
        const weights = untouched ? bucket.weights! : flat(bucket, parameters);
        const updated = tf.keep(this.#update(bucket, weights, gradient, learningRate));
        bucket.weights?.dispose();
        bucket.weights = updated;
        tf.split(updated, bucket.sizes).forEach((part, j) => {
          variables[j]!.assign(tf.reshape(part, variables[j]!.shape));
        });
        bucket.assigned = variables.map(({ dataId }) => dataId);
      });
      return norm;
    });
  }

  /**
   * Bytes on the device that the optimizer costs beside the model, as tfjs counts them: the moments, and the buckets'
   * flat copy of weights, whose memory TensorFlow may share with the variables'.
   */
  get bytes(): number {
    const held = [...this.#parked.values(), ...this.#buckets].flatMap(({ expAvg, expAvgSq }) => [expAvg, expAvgSq]);
    const copies = this.#buckets.flatMap(({ weights }) => weights ?? []);
    return [...held, ...copies].reduce((sum, { size }) => sum + 4 * size, 0);
  }

  async state(parameters: ReadonlyMap<string, tf.Variable>): Promise<AdamWState> {
    this.#park();
    const state: AdamWState = { steps: {}, tensors: new Map() };
    // In the parameters' order, so that equal states give equal files.
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
    this.dispose();
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
    for (const { expAvg, expAvgSq } of this.#parked.values()) tf.dispose([expAvg, expAvgSq]);
    for (const bucket of this.#buckets) disposeBucket(bucket);
    this.#parked.clear();
    this.#buckets = [];
  }

  /** Steps the moments and returns the new weights; all flat. Runs inside a tidy. */
  #update(bucket: Bucket, weights: tf.Tensor, gradient: tf.Tensor, learningRate: number): tf.Tensor {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const expAvg = tf.add(tf.mul(bucket.expAvg, beta1), tf.mul(gradient, 1 - beta1));
    const expAvgSq = tf.add(tf.mul(bucket.expAvgSq, beta2), tf.mul(tf.square(gradient), 1 - beta2));
    tf.dispose([bucket.expAvg, bucket.expAvgSq]);
    bucket.expAvg = tf.keep(expAvg);
    bucket.expAvgSq = tf.keep(expAvgSq);
    bucket.steps++;
    const stepSize = learningRate / (1 - beta1 ** bucket.steps);
    const root = Math.sqrt(1 - beta2 ** bucket.steps);
    const change = tf.div(tf.mul(expAvg, stepSize), tf.add(tf.div(tf.sqrt(expAvgSq), root), epsilon));
    return tf.sub(bucket.decays ? tf.mul(weights, 1 - learningRate * weightDecay) : weights, change);
  }

  /** Makes the buckets hold exactly these parameters. Free when they already do. */
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

  /** Takes the buckets apart into one state a parameter. */
  #park(): void {
    for (const bucket of this.#buckets) {
      const { names, sizes, steps, expAvg, expAvgSq } = bucket;
      const [first, second] = [tf.split(expAvg, sizes), tf.split(expAvgSq, sizes)];
      names.forEach((name, i) =>
        this.#parked.set(name, { steps, expAvg: tf.keep(first[i]!), expAvgSq: tf.keep(second[i]!) }),
      );
      disposeBucket(bucket);
    }
    this.#buckets = [];
  }
}

function disposeBucket({ expAvg, expAvgSq, weights }: Bucket): void {
  tf.dispose([expAvg, expAvgSq, ...(weights ? [weights] : [])]);
}
