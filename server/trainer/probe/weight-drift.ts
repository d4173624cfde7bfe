import * as tf from '@tensorflow/tfjs-core';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import { joined } from './joined.js';

/** One parameter's place in the flat vector of all weights. */
export interface FlatParameter {
  group: string;
  size: number;
}

/**
 * Relative L2 distance of each parameter group from the base model, ||w - w0|| / ||w0||. Summed in double precision in
 * a fixed order, so that a frozen group's value is exactly the same at each probe.
 * @param base, now all weights, flat, in the order of `parameters`
 */
export function groupDrift(
  base: ArrayLike<number>,
  now: ArrayLike<number>,
  parameters: readonly FlatParameter[],
): Map<string, number> {
  const sums = new Map<string, { moved: number; size: number }>();
  let at = 0;
  for (const { group, size } of parameters) {
    let { moved, size: length } = sums.get(group) ?? { moved: 0, size: 0 };
    for (const end = at + size; at < end; at++) {
      const from = base[at]!;
      const to = now[at]!;
      moved += (to - from) * (to - from);
      length += from * from;
    }
    sums.set(group, { moved, size: length });
  }
  if (at !== base.length || at !== now.length)
    throw new Error(`The parameters have ${at} values; got ${base.length} and ${now.length}.`);
  return new Map([...sums].map(([group, { moved, size }]) => [group, Math.sqrt(moved / size)]));
}

/**
 * Weight drift of every group of a model, probe after probe. Only what was assigned since the last one is read from the
 * device and compared again: what is frozen costs nothing.
 */
export class WeightDrift {
  readonly #parameters: readonly (FlatParameter & { name: string })[];
  /** Base weights by name. */
  readonly #base = new Map<string, Float32Array>();
  readonly #drifts = new Map<string, number>();
  /** The data of each parameter's variable when its drift was measured. */
  readonly #measured = new Map<string, object>();

  private constructor(base: VisionLanguageModel) {
    this.#parameters = base.parameterInfos();
  }

  /** @param base the model with the base weights */
  static async create(base: VisionLanguageModel): Promise<WeightDrift> {
    const drift = new WeightDrift(base);
    for (const [name, { data }] of await base.toTensors()) drift.#base.set(name, data);
    return drift;
  }

  /** Drift of each group. */
  async of(model: VisionLanguageModel): Promise<ReadonlyMap<string, number>> {
    const dataOf = (name: string): object => model.parameters.get(name)!.dataId;
    const groups = new Set(
      this.#parameters.flatMap(({ name, group }) => (this.#measured.get(name) === dataOf(name) ? [] : [group])),
    );
    const assigned = this.#parameters.filter(({ group }) => groups.has(group));
    if (assigned.length === 0) return this.#drifts;
    for (const { name } of assigned) this.#measured.set(name, dataOf(name));
    // One read for all: a read of its own waits for the device.
    const flat = tf.tidy(() => tf.concat(assigned.map(({ name }) => tf.reshape(model.parameters.get(name)!, [-1]))));
    const now = (await flat.data()) as Float32Array;
    flat.dispose();
    const base = joined(assigned.map(({ name }) => this.#base.get(name)!));
    for (const [group, drift] of groupDrift(base, now, assigned)) this.#drifts.set(group, drift);
    return this.#drifts;
  }
}
