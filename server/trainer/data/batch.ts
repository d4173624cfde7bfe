import * as tf from '@tensorflow/tfjs-core';
import type { ModelBatch } from '../model/vision-language-model.js';
import type { Tokenizer } from '../tokenizer.js';
import { pictureSize, type Example } from './task.js';

/**
 * Pixel normalisation for the vision tower: (value / 255 - mean) / deviation, the same for the three channels. The
 * figures are those of the base mix, rounded.
 */
const pixelMean = 0.3;
const pixelDeviation = 0.25;

/** A batch on the host, in the layout of `ModelBatch`. */
export interface HostBatch {
  size: number;
  /** T: text positions, equal for all batches, so that shapes and compiled kernels never change */
  length: number;
  images: Float32Array;
  inputIds: Int32Array;
  targetIds: Int32Array;
  lossMask: Float32Array;
}

/**
 * Makes a batch. The text of an example is prompt, answer, end; the input omits its last token and the target its
 * first. The loss counts positions that predict the answer or the end.
 * @throws Error when an example is longer than `length` or contains an unknown word
 */
export function collate(examples: readonly Example[], tokenizer: Tokenizer, length: number): HostBatch {
  const pixels = pictureSize * pictureSize * 3;
  const batch: HostBatch = {
    size: examples.length,
    length,
    images: new Float32Array(examples.length * pixels),
    inputIds: new Int32Array(examples.length * length),
    targetIds: new Int32Array(examples.length * length),
    lossMask: new Float32Array(examples.length * length),
  };
  examples.forEach(({ image, prompt, answer }, row) => {
    for (let i = 0; i < pixels; i++) batch.images[row * pixels + i] = (image[i]! / 255 - pixelMean) / pixelDeviation;
    const promptIds = tokenizer.encode(prompt);
    const ids = [...promptIds, ...tokenizer.encode(answer), tokenizer.endId];
    if (ids.length > length + 1) throw new Error(`"${prompt} ${answer}" is longer than ${length} tokens.`);
    for (let i = 0; i + 1 < ids.length; i++) {
      batch.inputIds[row * length + i] = ids[i]!;
      batch.targetIds[row * length + i] = ids[i + 1]!;
      if (i >= promptIds.length - 1) batch.lossMask[row * length + i] = 1;
    }
  });
  return batch;
}

/** Copies a batch to the device; the caller disposes it. */
export function toDevice({ size, length, images, inputIds, targetIds, lossMask }: HostBatch): ModelBatch {
  return {
    images: tf.tensor4d(images, [size, pictureSize, pictureSize, 3]),
    inputIds: tf.tensor2d(inputIds, [size, length], 'int32'),
    targetIds: tf.tensor2d(targetIds, [size, length], 'int32'),
    lossMask: tf.tensor2d(lossMask, [size, length]),
  };
}
