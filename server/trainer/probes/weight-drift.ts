import * as tf from '@tensorflow/tfjs-core';
import { isAdapter } from '../methods/lora.js';
import type { Model } from '../models/model.js';
import { hostValues } from '../runtime/variable.js';
import { joined } from './joined.js';

/** A parameter's place in the flat vector of all weights. */
export interface FlatParameter {
  group: string;
  size: number;
}

/**
 * Relative L2 distance of each parameter group from the base model, ||w - w0|| / ||w0||: 0 if nothing moved, infinite
 * if zeros moved. Summed in double precision in a fixed order, so that a frozen group has exactly the same value at
 * each probe.
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
  return new Map([...sums].map(([group, { moved, size }]) => [group, moved === 0 ? 0 : Math.sqrt(moved / size)]));
}

/**
 * Weight drift of every group of a model, probe after probe. Only weights changed since the last probe are read from
 * the device and compared again: frozen weights cost nothing.
 */
export class WeightDrift {
  readonly #weights: readonly (FlatParameter & { name: string })[];
  /** Base weights by name. */
  readonly #base = new Map<string, Float32Array>();
  readonly #drifts = new Map<string, number>();
  /** The states of each weight's parameters at its last measurement. */
  readonly #measured = new Map<string, readonly object[]>();

  private constructor(base: Model) {
    const plain = base.describe().parameters.filter(({ name }) => !isAdapter(name));
    this.#weights = plain.map(({ name, group, size }) => ({ name, group, size }));
  }

  /** @param base the model with the base weights; its adapters, if any, add nothing yet */
  static async create(base: Model): Promise<WeightDrift> {
    const drift = new WeightDrift(base);
    for (const { name } of drift.#weights) drift.#base.set(name, await hostValues(base.parameters.parameter(name)));
    return drift;
  }

  /** Drift of each group, for weights with their adapters merged in. */
  async of(model: Model): Promise<ReadonlyMap<string, number>> {
    const groups = new Set(
      this.#weights.flatMap(({ name, group }) => (this.#isMeasured(name, statesOf(model, name)) ? [] : [group])),
    );
    const assigned = this.#weights.filter(({ group }) => groups.has(group));
    if (assigned.length === 0) return this.#drifts;
    for (const { name } of assigned) this.#measured.set(name, statesOf(model, name));
    // One read for all: each read waits for the device.
    const flat = tf.tidy(() =>
      tf.concat(assigned.map(({ name }) => tf.reshape(model.parameters.effective(name), [-1]))),
    );
    const now = (await flat.data()) as Float32Array;
    flat.dispose();
    const base = joined(assigned.map(({ name }) => this.#base.get(name)!));
    for (const [group, drift] of groupDrift(base, now, assigned)) this.#drifts.set(group, drift);
    return this.#drifts;
  }

  #isMeasured(name: string, states: readonly object[]): boolean {
    const measured = this.#measured.get(name);
    return states.every((state, index) => state === measured?.[index]);
  }
}

/** The states of all parameters of a weight: its own and those of its adapters. */
function statesOf({ parameters }: Model, name: string): object[] {
  const path = name.replace(/weight$/, '');
  const names = [name, `${path}lora_A.weight`, `${path}lora_B.weight`];
  return names.flatMap((part) => (parameters.has(part) ? [parameters.parameter(part).state] : []));
}
