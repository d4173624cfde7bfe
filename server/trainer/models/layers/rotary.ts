import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../runtime/with-gradient.js';

/** How the angles of a head grow with the position: rope_theta and rope_scaling, or rope_parameters, of config.json. */
export interface Rope {
  theta: number;
  /** Longer contexts than those of pretraining. */
  scaling?:
    | { type: 'linear'; factor: number }
    | { type: 'llama3'; factor: number; lowFactor: number; highFactor: number; pretrainedPositions: number };
  /** M-RoPE: numbers of frequencies that follow the first, second, ... axis of the positions. */
  sections?: readonly number[];
}

/**
 * Radians per position of each pair of channels, in single precision as transformers computes them.
 * @returns [headSize / 2]
 */
export function inverseFrequencies(headSize: number, { theta, scaling }: Rope): Float32Array {
  const plain = Float32Array.from({ length: headSize / 2 }, (_, i) => {
    return 1 / Math.fround(theta ** Math.fround((2 * i) / headSize));
  });
  if (!scaling) return plain;
  if (scaling.type === 'linear') return plain.map((frequency) => frequency / scaling.factor);
  // Llama 3.1: slow frequencies are divided by the factor, fast ones stay, those between are mixed.
  const { factor, lowFactor, highFactor, pretrainedPositions } = scaling;
  return plain.map((frequency) => {
    const turns = (pretrainedPositions * frequency) / (2 * Math.PI);
    const fast = Math.min(1, Math.max(0, (turns - lowFactor) / (highFactor - lowFactor)));
    return (1 - fast) * (frequency / factor) + fast * frequency;
  });
}

/** Cosines and sines of the angles of positions, on the host. */
export interface RotaryAngles {
  /** [positions, headSize], the two halves of a row alike. */
  cos: Float32Array;
  sin: Float32Array;
}

/**
 * @param positions of each axis; text has one axis, or all alike
 * @param frequencies of `inverseFrequencies`
 * @param sections for several axes: how many frequencies follow each
 */
export function rotaryAngles(
  positions: readonly ArrayLike<number>[],
  frequencies: Float32Array,
  sections?: readonly number[],
): RotaryAngles {
  const half = frequencies.length;
  const axes = sections?.flatMap((count, axis) => Array.from({ length: count }, () => axis));
  if (axes && axes.length !== half)
    throw new Error(`The sections ${sections!.join(', ')} are for ${axes.length} frequencies; there are ${half}.`);
  const rows = positions[0]!.length;
  const [cos, sin] = [new Float32Array(rows * 2 * half), new Float32Array(rows * 2 * half)];
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positions[axes && positions.length > 1 ? axes[i]! : 0]![row]! * frequencies[i]!);
      const at = row * 2 * half + i;
      cos[at] = cos[at + half] = Math.cos(angle);
      sin[at] = sin[at + half] = Math.sin(angle);
    }
  return { cos, sin };
}

/** Cosines and sines for `rotary`, made once for all layers of a forward pass. */
export interface RotaryTables {
  /** [B, 1, T, D] */
  cos: tf.Tensor4D;
  /** [B, 1, T, D], the first half negative. */
  turn: tf.Tensor4D;
}

/** @param cos [B, T, D] @param sin [B, T, D] */
export function rotaryTables(cos: tf.Tensor3D, sin: tf.Tensor3D): RotaryTables {
  const [first, second] = tf.split(sin, 2, 2) as [tf.Tensor3D, tf.Tensor3D];
  return { cos: tf.expandDims(cos, 1), turn: tf.expandDims(tf.concat([tf.neg(first), second], 2), 1) };
}

/**
 * Rotary position embedding, x * cos + rotate_half(x) * sin (Su et al. 2021), in Hugging Face's half-split layout.
 * @param x [B, H, T, D] @returns [B, H, T, D]
 */
export function rotary(x: tf.Tensor4D, { cos, turn }: RotaryTables): tf.Tensor4D {
  const swapped = (y: tf.Tensor): tf.Tensor => tf.concat(tf.split(y, 2, 3).reverse(), 3);
  return withGradient(([x], save) => {
    save([cos, turn]);
    return {
      value: tf.add(tf.mul(x!, cos), tf.mul(swapped(x!), turn)),
      gradFunc: (dy, [cos, turn]) => tf.add(tf.mul(dy, cos!), swapped(tf.mul(dy, turn!))),
    };
  }, x) as tf.Tensor4D;
}
