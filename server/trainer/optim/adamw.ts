import * as tf from '@tensorflow/tfjs-core';
import type { HostTensor } from '../safetensors.js';
import { nativeBackend, types, type NativeBackend } from '../runtime/native-backend.js';
import type { Parameter, Parameters } from '../runtime/parameter.js';
import { Programs } from '../runtime/program.js';
import { hostValues, makeParameter, type ResourceVariable } from '../runtime/variable.js';

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
  expAvg: Parameter;
  expAvgSq: Parameter;
}

/** A parameter in one step, with what the step needs. */
interface Update extends Moments {
  name: string;
  parameter: Parameter;
  decays: boolean;
  /** Its learning rate. */
  rate: number;
}

/** No norm exceeds it: as the limit, it switches clipping off. */
const largestFloat = 3.4e38;

/** Matrices decay; norms, biases (as in nanoGPT) and the tables of tokens and positions do not. */
const decaysWeight = (name: string, rank: number): boolean => rank > 1 && !/embed_tokens|position_embedding/.test(name);

/**
 * AdamW (Loshchilov & Hutter 2019; same numbers as torch.optim.AdamW) keyed by parameter name.
 *
 * Each parameter has its own moments and its own step count. Freezing keeps both, and an unfrozen parameter continues
 * from them. A parameter that was never trained has none and costs no memory. In TensorFlow weights and moments change
 * in place: a step needs no second copy of them.
 */
export class AdamW {
  readonly #options: AdamWOptions;
  readonly #moments = new Map<string, Moments>();
  readonly #programs = new Programs();

  constructor(options: Partial<AdamWOptions> = {}) {
    this.#options = { ...adamWDefaults, ...options };
  }

  /**
   * Takes one step for exactly the parameters that have a gradient; all others stay bit for bit as they are. First
   * scales gradients down to the global L2 norm `maxGradientNorm` (as torch.nn.utils.clip_grad_norm_). Reads nothing
   * from the device.
   * @param learningRate of all parameters, or of each by its name
   * @returns the gradients' global L2 norm before clipping; the caller disposes it
   */
  apply(
    parameters: Parameters,
    gradients: ReadonlyMap<string, tf.Tensor>,
    learningRate: number | ((name: string) => number),
    maxGradientNorm = Infinity,
  ): tf.Scalar {
    const updates = [...gradients].map(([name]): Update => {
      const parameter = parameters.parameter(name);
      const moments = this.#momentsOf(parameter);
      moments.steps++;
      return {
        ...{ ...moments, name, parameter, decays: decaysWeight(name, parameter.shape.length) },
        rate: typeof learningRate === 'number' ? learningRate : learningRate(name),
      };
    });
    // Parameters with the same number of steps and the same rate share their factors.
    const kinds = new Map(updates.map(({ steps, rate }) => [`${steps} ${rate}`, { steps, rate }]));
    const factors = [...kinds.values()].map(({ steps, rate }) => this.#factors(steps, rate));
    const groups = updates.map(({ steps, rate }) => [...kinds.keys()].indexOf(`${steps} ${rate}`));
    const limit = tf.scalar(Math.min(maxGradientNorm, largestFloat));
    const variables = updates.flatMap(({ parameter, expAvg, expAvgSq }) => [parameter, expAvg, expAvgSq]);
    const key = updates.map(({ name }, i) => `${name} ${groups[i]}`).join(', ');
    const scalars = factors.flatMap(({ rate, epsilon, kept }) => [rate, epsilon, kept]);
    if (this.#options.weightDecay > 0)
      this.#programs.run(`weight decay of ${key}`, scalars, variables, () => {
        updates.forEach(({ parameter, decays }, i) => {
          if (decays) parameter.assign(tf.mul(parameter.value(), factors[groups[i]!]!.kept));
        });
        return {};
      });
    const inputs = [limit, ...scalars, ...gradients.values()];
    const { norm } = this.#programs.run(`AdamW of ${key}`, inputs, variables, () => {
      // Stacked, because a WebGPU kernel adds at most eight tensors and gives 0 for more.
      const squares = [...gradients.values()].map((gradient) => tf.sum(tf.square(gradient)));
      const norm = tf.sqrt(tf.sum(tf.stack([tf.scalar(0), ...squares])));
      const scale = tf.minimum(1, tf.div(limit, tf.add(norm, 1e-6)));
      updates.forEach((update, i) => {
        const gradient = tf.mul(gradients.get(update.name)!, scale);
        this.#update(update, gradient, factors[groups[i]!]!);
      });
      return { norm };
    });
    for (const variable of variables) variable.changed();
    tf.dispose([limit, ...scalars]);
    return norm as tf.Scalar;
  }

  /**
   * Bytes on the device that the optimizer takes beside the model: two moments for each parameter that was ever
   * trained.
   */
  get bytes(): number {
    return [...this.#moments.values()].reduce((sum, { expAvg }) => sum + 8 * expAvg.size, 0);
  }

  async state(parameters: Parameters): Promise<AdamWState> {
    const state: AdamWState = { steps: {}, tensors: new Map() };
    // In parameter order, so that equal states give equal files.
    for (const { name, shape } of parameters) {
      const moments = this.#moments.get(name);
      if (!moments) continue;
      state.steps[name] = moments.steps;
      for (const moment of [moments.expAvg, moments.expAvgSq])
        state.tensors.set(moment.name, { shape: [...shape], data: await hostValues(moment) });
    }
    return state;
  }

  /** Replaces all state. @throws Error when a moment is missing */
  load(state: AdamWState): void {
    this.#forget();
    for (const [name, steps] of Object.entries(state.steps)) {
      const moment = (word: string): Parameter => {
        const tensor = state.tensors.get(`${name}.${word}`);
        if (!tensor) throw new Error(`The optimizer state lacks ${name}.${word}.`);
        return makeParameter(`${name}.${word}`, () => tf.tensor(tensor.data, tensor.shape, 'float32'));
      };
      this.#moments.set(name, { steps, expAvg: moment('exp_avg'), expAvgSq: moment('exp_avg_sq') });
    }
  }

  dispose(): void {
    this.#forget();
    this.#programs.dispose();
  }

  #forget(): void {
    for (const { expAvg, expAvgSq } of this.#moments.values()) {
      expAvg.dispose();
      expAvgSq.dispose();
    }
    this.#moments.clear();
  }

  #momentsOf({ name, shape }: Parameter): Moments {
    const known = this.#moments.get(name);
    if (known) return known;
    const zeros = (word: string): Parameter => makeParameter(`${name}.${word}`, () => tf.zeros([...shape]));
    const moments = { steps: 0, expAvg: zeros('exp_avg'), expAvgSq: zeros('exp_avg_sq') };
    this.#moments.set(name, moments);
    return moments;
  }

  /** What depends on the step, as scalars on the device, so that one function serves every step. */
  #factors(step: number, learningRate: number): Factors {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const root = Math.sqrt(1 - beta2 ** step);
    // As Kingma & Ba (2015, end of section 2) rewrite it: the second moment's correction moves into rate and epsilon.
    return {
      rate: tf.scalar((learningRate * root) / (1 - beta1 ** step)),
      epsilon: tf.scalar(epsilon * root),
      kept: tf.scalar(1 - learningRate * weightDecay),
    };
  }

  #update({ parameter, expAvg, expAvgSq }: Update, gradient: tf.Tensor, { rate, epsilon }: Factors): void {
    const { beta1, beta2 } = this.#options;
    const backend = nativeBackend();
    if (backend) {
      const variables = [parameter, expAvg, expAvgSq] as ResourceVariable[];
      applyAdam(backend, variables, [rate, tf.scalar(beta1), tf.scalar(beta2), epsilon, gradient]);
      return;
    }
    tf.tidy(() => {
      expAvg.assign(tf.add(tf.mul(expAvg.value(), beta1), tf.mul(gradient, 1 - beta1)));
      expAvgSq.assign(tf.add(tf.mul(expAvgSq.value(), beta2), tf.mul(tf.square(gradient), 1 - beta2)));
      const change = tf.div(tf.mul(expAvg.value(), rate), tf.add(tf.sqrt(expAvgSq.value()), epsilon));
      parameter.assign(tf.sub(parameter.value(), change));
    });
  }
}

interface Factors {
  /** learningRate * sqrt(1 - beta2^t) / (1 - beta1^t) */
  rate: tf.Scalar;
  /** epsilon * sqrt(1 - beta2^t) */
  epsilon: tf.Scalar;
  /** The factor that decay leaves of a weight: 1 - learningRate * weightDecay. */
  kept: tf.Scalar;
}

/**
 * TensorFlow's Adam, which changes weight and moments in place. Its two powers correct the rate, which is corrected
 * already: as zeros they change nothing.
 */
function applyAdam(
  backend: NativeBackend,
  variables: readonly ResourceVariable[],
  tensors: readonly tf.Tensor[],
): void {
  const { binding } = backend;
  const zero = tf.scalar(0);
  const ids = backend.getInputTensorIds([zero, zero, ...tensors]);
  binding.executeOp(
    'ResourceApplyAdam',
    [{ name: 'T', type: binding.TF_ATTR_TYPE, value: types.float32 }],
    [...variables.map(({ id }) => id), ...ids],
    0,
  );
}
