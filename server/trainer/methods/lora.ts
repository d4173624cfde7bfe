import * as tf from '@tensorflow/tfjs-core';
import type { Base } from '../models/base.js';
import { buildModel, type AddedParameter } from '../models/build-model.js';
import type { Model } from '../models/model.js';
import { decoderProjections, pathOf } from './decoder-projections.js';
import { fineTuning } from './fine-tuning.js';
import type { Method } from './method.js';

/**
 * Low-rank adaptation (Hu et al. 2022, section 4): each projection of a decoder layer computes with W + alpha / rank B
 * A. W and the rest of the base are fixed; A [rank, in] and B [out, rank] are trained.
 *
 * Names and initial values as in Hugging Face PEFT: `<path>.lora_A.weight` uniform within 1 / sqrt(in) (kaiming_uniform
 * with a = sqrt(5)), `<path>.lora_B.weight` zero, so that the model starts exactly as the base. The reference
 * implementation of arXiv 2510.08564 uses rank 256, alpha 32 and a dropout of 0.05 on the adapters' input; this one has
 * no dropout.
 * @param seed of A
 */
export async function lora(
  base: Base,
  { rank, alpha }: { rank: number; alpha: number },
  seed: number,
): Promise<Method> {
  const added = decoderProjections(base.blueprint).flatMap(({ name, shape }): AddedParameter[] => {
    const [outputs, inputs] = shape as [number, number];
    const path = pathOf(name);
    return [
      { name: `${path}.lora_A.weight`, shape: [rank, inputs], start: { uniform: 1 / Math.sqrt(inputs) } },
      { name: `${path}.lora_B.weight`, shape: [outputs, rank], start: 'zeros' },
    ];
  });
  return fineTuning(await buildModel(base, { adapters: { rank, alpha }, added, seed }));
}

/** Whether a parameter is a part of an adapter. */
export const isAdapter = (name: string): boolean => /\.lora_[AB]\.weight$/.test(name);

/** The weights of the equivalent plain model, with the adapters merged in, one after another. */
export async function* mergedWeights({ parameters }: Model): AsyncGenerator<[name: string, values: Float32Array]> {
  for (const { name } of parameters) {
    if (isAdapter(name)) continue;
    const merged = tf.tidy(() => tf.clone(parameters.effective(name)));
    const values = Float32Array.from(await merged.data<'float32'>());
    merged.dispose();
    yield [name, values];
  }
}
