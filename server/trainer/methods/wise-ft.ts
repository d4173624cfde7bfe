import * as tf from '@tensorflow/tfjs-core';
import type { Base } from '../models/base.js';
import { buildModel } from '../models/build-model.js';
import { fineTuning } from './fine-tuning.js';
import type { Method } from './method.js';

/**
 * Weight-space ensembles for fine-tuning (Wortsman et al. 2022): plain fine-tuning that also evaluates, at the end of
 * each stage, the models between the base and the trained one. Training continues from the fine-tuned weights, so one
 * run shows all ensemble weights. The reference implementation of arXiv 2510.08564 (wise_ft_merge.py) starts each
 * further stage from the average of the stage's start and end.
 */
export async function wiseFt(base: Base, settings: { weights: readonly number[] }): Promise<Method> {
  const model = await buildModel(base);
  // Only weights that have changed differ from the base's.
  const untouched = new Map([...model.parameters].map(({ name, state }) => [name, state]));
  return {
    ...fineTuning(model),
    async *evaluateBeside(ask) {
      const moved = [...model.parameters].filter(({ name, state }) => state !== untouched.get(name));
      const now = moved.map((parameter) => tf.tidy(() => parameter.value()));
      const start: tf.Tensor[] = [];
      try {
        for (const { name, shape } of moved) start.push(tf.tensor(await base.read(name), [...shape], 'float32'));
        for (const weight of settings.weights) {
          moved.forEach((parameter, i) => tf.tidy(() => parameter.assign(interpolate(start[i]!, now[i]!, weight))));
          yield { weight, right: await ask(model) };
        }
      } finally {
        moved.forEach((parameter, i) => parameter.assign(now[i]!));
        tf.dispose([...now, ...start]);
      }
    },
  };
}

/** (1 - weight) * base + weight * now; exact at 0 and 1. */
export const interpolate = (base: tf.Tensor, now: tf.Tensor, weight: number): tf.Tensor =>
  weight === 0 ? base : weight === 1 ? now : tf.add(tf.mul(base, 1 - weight), tf.mul(now, weight));
