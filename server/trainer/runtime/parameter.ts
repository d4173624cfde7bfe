import * as tf from '@tensorflow/tfjs-core';
import { runAfter } from './function-recorder.js';
import { gradientsWithin, withGradient } from './with-gradient.js';

/** A weight that stays on the device. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** Number of values. */
  readonly size: number;
  /** Stands for the current values: another object whenever they may have changed. */
  readonly state: object;
  /** The weight as a tensor, for use within tf.tidy. It keeps today's values when the parameter changes later. */
  value(): tf.Tensor;
  /** Takes over the values of `tensor`, which stays the caller's. @throws Error when the shape differs */
  assign(tensor: tf.Tensor): void;
  /** To be called after an operation has changed the values in place. */
  changed(): void;
  dispose(): void;
}

/** Low-rank adapters: each adapted projection computes with W + alpha / rank B A. */
export interface Adapters {
  rank: number;
  alpha: number;
}

export interface ParametersOptions {
  adapters?: Adapters | undefined;
  /** Names of parameters that no selection trains, as the model's own below adapters. */
  fixed?: ReadonlySet<string> | undefined;
}

/** The parameters of one model by name, in a fixed order, and the products that a forward pass makes with them. */
export class Parameters {
  readonly #all: ReadonlyMap<string, Parameter>;
  /** Values that stand for parameters while a gradient is taken. */
  #bound: ReadonlyMap<string, tf.Tensor> | undefined;

  readonly adapters: Adapters | undefined;
  readonly fixed: ReadonlySet<string>;

  /** @param all owned by this object from now on */
  constructor(all: Iterable<Parameter>, { adapters, fixed = new Set() }: ParametersOptions = {}) {
    this.#all = new Map([...all].map((parameter) => [parameter.name, parameter]));
    this.adapters = adapters;
    this.fixed = fixed;
  }

  get names(): string[] {
    return [...this.#all.keys()];
  }

  [Symbol.iterator](): IterableIterator<Parameter> {
    return this.#all.values();
  }

  has(name: string): boolean {
    return this.#all.has(name);
  }

  /** @throws Error when there is no such parameter */
  parameter(name: string): Parameter {
    const parameter = this.#all.get(name);
    if (!parameter) throw new Error(`The model has no parameter ${name}.`);
    return parameter;
  }

  /** The value of a parameter, for use within tf.tidy. @throws Error when there is no such parameter */
  get<R extends tf.Rank>(name: string): tf.Tensor<R> {
    return (this.#bound?.get(name) ?? this.parameter(name).value()) as tf.Tensor<R>;
  }

  /** A weight as the model uses it: with the product of its adapters added, if it has any. */
  effective<R extends tf.Rank>(name: string): tf.Tensor<R> {
    const weight = this.get<R>(name);
    const path = name.slice(0, -'.weight'.length);
    if (!this.adapters || !this.has(`${path}.lora_A.weight`)) return weight;
    const { rank, alpha } = this.adapters;
    const [a, b] = [this.get<tf.Rank.R2>(`${path}.lora_A.weight`), this.get<tf.Rank.R2>(`${path}.lora_B.weight`)];
    return tf.add(weight, tf.mul(tf.matMul(b, a), alpha / rank));
  }

  /**
   * x W^T, plus the bias if `path` has one, plus alpha / rank (x A^T) B^T if it has adapters.
   * @param x [N, in] @param path of `<path>.weight` [out, in] @returns [N, out]
   */
  linear(x: tf.Tensor2D, path: string): tf.Tensor2D {
    let y = tf.matMul(x, this.get<tf.Rank.R2>(`${path}.weight`), false, true) as tf.Tensor2D;
    if (this.has(`${path}.bias`)) y = tf.add(y, this.get(`${path}.bias`));
    if (!this.adapters || !this.has(`${path}.lora_A.weight`)) return y;
    const { rank, alpha } = this.adapters;
    const low = tf.matMul(x, this.get<tf.Rank.R2>(`${path}.lora_A.weight`), false, true) as tf.Tensor2D;
    const added = tf.matMul(low, this.get<tf.Rank.R2>(`${path}.lora_B.weight`), false, true);
    return tf.add(y, tf.mul(added, alpha / rank));
  }

  /**
   * A scalar and its gradients with respect to some parameters. Frozen parameters cost no backward pass. The caller
   * disposes both.
   * @param names of the parameters to differentiate by; a model's tied weight has one name and one gradient
   * @param loss reads the parameters through this object
   * @returns no gradient for a parameter that the loss does not depend on, such as a vision tower's where the batch has
   *   no picture
   */
  gradients(names: readonly string[], loss: () => tf.Scalar): { loss: tf.Scalar; gradients: Map<string, tf.Tensor> } {
    if (names.length === 0) return { loss: tf.tidy(loss), gradients: new Map() };
    const { value, grads } = tf.tidy(() => {
      const values = names.map((name) => this.parameter(name).value());
      // tf.valueAndGrads refuses where there is no gradient; the function below it does not.
      return tf.engine().gradients(() => this.#with(names, values, loss), values, undefined, true);
    });
    const found = names.flatMap((name, i): [string, tf.Tensor][] => (grads[i] ? [[name, grads[i]]] : []));
    return { loss: value as tf.Scalar, gradients: new Map(found) };
  }

  /**
   * f(x), computed again in the backward pass: of its forward pass only `x` and `constants` are kept.
   * @param prefix of the names of all parameters that f reads
   * @param constants all other tensors that f reads; they get no gradient
   */
  recomputed<T extends tf.Tensor>(
    prefix: string,
    x: T,
    constants: readonly tf.Tensor[],
    f: (x: T, constants: tf.Tensor[]) => T,
  ): T {
    const outer = this.#bound;
    if (!outer) return f(x, [...constants]);
    const names = [...outer.keys()].filter((name) => name.startsWith(prefix));
    return withGradient(
      ([x, ...bound], save) => {
        save([x!, ...bound, ...constants]);
        return {
          value: f(x as T, [...constants]),
          gradFunc: (dy, [x, ...saved]) => {
            const given = saved.slice(names.length);
            const again = (x: tf.Tensor, ...bound: tf.Tensor[]): tf.Tensor =>
              this.#with(names, bound, () => f(x as T, given));
            // A compiled function would compute it in the forward pass, where its inputs are there already.
            return runAfter([dy], () => gradientsWithin(again, [x!, ...saved.slice(0, names.length)], dy));
          },
        };
      },
      x,
      ...names.map((name) => outer.get(name)!),
    ) as T;
  }

  /**
   * f(x) of a part of the model that reads no other trained value, such as a vision tower. Where none of its parameters
   * is trained, nothing of it is kept for the backward pass.
   * @param prefixes of the names of all parameters that f reads
   * @param x a constant
   */
  part<T extends tf.Tensor>(prefixes: readonly string[], x: tf.Tensor, f: (x: tf.Tensor) => T): T {
    const isTrained = [...(this.#bound?.keys() ?? [])].some((name) =>
      prefixes.some((prefix) => name.startsWith(prefix)),
    );
    if (!this.#bound || isTrained) return f(x);
    const gradFunc = (): never => {
      throw new Error(`The input of ${prefixes.join(' and ')} depends on trained parameters.`);
    };
    return withGradient(([x]) => ({ value: f(x!), gradFunc }), x) as T;
  }

  /** Runs f with values that stand for parameters. */
  #with<R>(names: readonly string[], values: readonly tf.Tensor[], f: () => R): R {
    const before = this.#bound;
    this.#bound = new Map(names.map((name, i) => [name, values[i]!]));
    try {
      return f();
    } finally {
      this.#bound = before;
    }
  }

  /** Number of values of all parameters. */
  get size(): number {
    return [...this.#all.values()].reduce((sum, { size }) => sum + size, 0);
  }

  dispose(): void {
    for (const parameter of this.#all.values()) parameter.dispose();
  }
}
