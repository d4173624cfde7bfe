import { buildModel, type BaseWeights } from '../checkpoint.js';
import type { HostTensor } from '../model/model-config.js';
import { fineTuning } from './fine-tuning.js';
import type { Method } from './method.js';

/**
 * Weight-space ensembles for fine-tuning (Wortsman et al. 2022): plain fine-tuning that also evaluates, at the end of
 * each stage, the models between the base and the trained one. Training continues from the fine-tuned weights, so one
 * run shows all ensemble weights. The reference implementation of arXiv 2510.08564 (wise_ft_merge.py) starts each
 * further stage from the average of the stage's start and end.
 */
export function wiseFt(base: BaseWeights, settings: { weights: readonly number[] }): Method {
  const model = buildModel(base.config, base.weights);
  return {
    ...fineTuning(model),
    async *evaluateBeside(ask) {
      const now = await model.toTensors();
      try {
        for (const weight of settings.weights) {
          model.assign(interpolate(base.weights, now, weight));
          yield { weight, right: await ask(model) };
        }
      } finally {
        model.assign(now);
      }
    },
  };
}

/** (1 - weight) * base + weight * now, parameter by parameter; exact at 0 and 1. */
export function interpolate(
  base: ReadonlyMap<string, HostTensor>,
  now: ReadonlyMap<string, HostTensor>,
  weight: number,
): Map<string, HostTensor> {
  const between = new Map<string, HostTensor>();
  for (const [name, { shape, data }] of now) {
    const start = base.get(name);
    if (!start) throw new Error(`The base has no ${name} to interpolate with.`);
    between.set(name, { shape, data: data.map((value, i) => (1 - weight) * start.data[i]! + weight * value) });
  }
  return between;
}
