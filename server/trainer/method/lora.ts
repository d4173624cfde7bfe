import * as tf from '@tensorflow/tfjs-core';
import { buildModel, type BaseWeights } from '../checkpoint.js';
import type { HostTensor } from '../model/model-config.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
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
export function lora(base: BaseWeights, settings: { rank: number; alpha: number }, seed: number): Method {
  const { rank, alpha } = settings;
  return fineTuning(buildModel({ ...base.config, lora: { rank, alpha } }, base.weights, seed));
}

/** The weights of the equivalent plain model, with the adapters merged in. */
export async function mergedWeights(model: VisionLanguageModel): Promise<Map<string, HostTensor>> {
  // Copies, because weights without adapters are the model's own.
  const effective = tf.tidy(() => {
    const copies = Object.entries(model.effectiveWeights()).map(([name, tensor]) => [name, tf.clone(tensor)] as const);
    return Object.fromEntries(copies);
  });
  const merged = new Map<string, HostTensor>();
  for (const [name, tensor] of Object.entries(effective))
    merged.set(name, { shape: [...tensor.shape], data: Float32Array.from((await tensor.data()) as Float32Array) });
  tf.dispose(effective);
  return merged;
}
