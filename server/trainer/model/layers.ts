import * as tf from '@tensorflow/tfjs-core';

/*
 * Layers with hand-written gradients. tfjs would derive them from small operations, each with its own kernel; with
 * hand-written ones a training step takes less than half as many kernels. Tensors that a gradient needs go through
 * `save`; every other tensor of the forward pass is released at its end.
 */

type Save = (tensors: tf.Tensor[]) => void;
interface WithGradient {
  value: tf.Tensor;
  gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor | tf.Tensor[];
}

/** tf.customGrad with its run-time types: the last argument of `f` saves tensors for the gradient. */
function withGradient(f: (inputs: tf.Tensor[], save: Save) => WithGradient, ...inputs: tf.Tensor[]): tf.Tensor {
  return tf.customGrad((...all: unknown[]) => {
    const save = all.pop() as Save;
    return f(all as tf.Tensor[], save);
  })(...inputs);
}

/**
 * Root mean square norm over the last axis: x / sqrt(mean(x^2) + eps) * weight. Zhang & Sennrich 2019, as LlamaRMSNorm
 * in Hugging Face transformers.
 *
 * Computed as the unit vector x / sqrt(sum(x^2) + C eps) times sqrt(C) weight. This is the same with fewer kernels: the
 * gradient of a unit vector needs no mean, and sqrt(C) goes into the small weight.
 * @param x [N, C] @param weight [C] @returns [N, C]
 */
export function rmsNorm(x: tf.Tensor2D, weight: tf.Tensor1D, eps: number): tf.Tensor2D {
  const width = x.shape[1];
  return withGradient(
    ([x, weight], save) => {
      const scale = tf.rsqrt(tf.add(tf.sum(tf.square(x!), 1, true), width * eps));
      const unit = tf.mul(x!, scale);
      const wide = tf.mul(weight!, Math.sqrt(width));
      save([unit, scale, wide]);
      return {
        value: tf.mul(unit, wide),
        gradFunc: (dy, [unit, scale, wide]) => {
          const dUnit = tf.mul(dy, wide!);
          const along = tf.sum(tf.mul(dUnit, unit!), 1, true);
          return [
            tf.mul(scale!, tf.sub(dUnit, tf.mul(unit!, along))),
            tf.mul(tf.sum(tf.mul(dy, unit!), 0), Math.sqrt(width)),
          ];
        },
      };
    },
    x,
    weight,
  ) as tf.Tensor2D;
}

/**
 * silu(gate) * up, with silu(g) = g * sigmoid(g): the gate of the decoder's MLP (Shazeer 2020, SwiGLU).
 * @param gate [N, M] @param up [N, M] @returns [N, M]
 */
export function siluGate(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  return withGradient(
    ([gate, up], save) => {
      const sigmoid = tf.sigmoid(gate!);
      const silu = tf.mul(gate!, sigmoid);
      save([up!, sigmoid, silu]);
      return {
        value: tf.mul(silu, up!),
        gradFunc: (dy, [up, sigmoid, silu]) => {
          // silu' = sigmoid + silu * (1 - sigmoid)
          const slope = tf.add(sigmoid!, tf.mul(silu!, tf.sub(1, sigmoid!)));
          return [tf.mul(tf.mul(dy, up!), slope), tf.mul(dy, silu!)];
        },
      };
    },
    gate,
    up,
  ) as tf.Tensor2D;
}

/** Gaussian error linear unit in its sigmoid form, x * sigmoid(1.702 x) (Hendrycks & Gimpel 2016; `quick_gelu` of CLIP). */
export function quickGelu(x: tf.Tensor2D): tf.Tensor2D {
  return withGradient(([x], save) => {
    const sigmoid = tf.sigmoid(tf.mul(x!, 1.702));
    const value = tf.mul(x!, sigmoid);
    save([sigmoid, value]);
    return {
      value,
      gradFunc: (dy, [sigmoid, value]) =>
        tf.mul(dy, tf.add(sigmoid!, tf.mul(tf.mul(value!, 1.702), tf.sub(1, sigmoid!)))),
    };
  }, x) as tf.Tensor2D;
}

export interface RotaryTables {
  /** [T, D] cosines and sines of position * frequency. */
  cos: tf.Tensor2D;
  sin: tf.Tensor2D;
  /** [D, D]: x * turn is `rotate_half(x)`, (-x2, x1) of the halves (x1, x2). */
  turn: tf.Tensor2D;
}

/** Tables for positions 0..positions-1 and head width `size`, in Hugging Face's half-split layout. Kept until disposed. */
export function rotaryTables(positions: number, size: number, theta: number): RotaryTables {
  const cos = new Float32Array(positions * size);
  const sin = new Float32Array(positions * size);
  const half = size / 2;
  for (let position = 0; position < positions; position++)
    for (let d = 0; d < size; d++) {
      const angle = position * theta ** ((-2 * (d % half)) / size);
      cos[position * size + d] = Math.cos(angle);
      sin[position * size + d] = Math.sin(angle);
    }
  const turn = new Float32Array(size * size);
  for (let d = 0; d < half; d++) {
    turn[(d + half) * size + d] = -1;
    turn[d * size + d + half] = 1;
  }
  return {
    cos: tf.keep(tf.tensor2d(cos, [positions, size])),
    sin: tf.keep(tf.tensor2d(sin, [positions, size])),
    turn: tf.keep(tf.tensor2d(turn, [size, size])),
  };
}

/**
 * Rotary position embedding, x * cos + rotate_half(x) * sin (Su et al. 2021). The half turn is a product with a
 * constant matrix: one kernel instead of four for slices, negation and concatenation.
 * @param x [B, H, T, D] @param tables cos and sin for exactly these T positions @returns [B, H, T, D]
 */
export function rotary(x: tf.Tensor4D, { cos, sin, turn }: RotaryTables): tf.Tensor4D {
  const turned = (y: tf.Tensor, by: tf.Tensor, back: boolean): tf.Tensor =>
    tf.reshape(tf.matMul(tf.reshape(y, [-1, y.shape[3]!]) as tf.Tensor2D, by as tf.Tensor2D, false, back), y.shape);
  return withGradient(([x], save) => {
    save([cos, sin, turn]);
    return {
      value: tf.add(tf.mul(x!, cos), tf.mul(turned(x!, turn, false), sin)),
      gradFunc: (dy, [cos, sin, turn]) => tf.add(tf.mul(dy, cos!), turned(tf.mul(dy, sin!), turn!, true)),
    };
  }, x) as tf.Tensor4D;
}

/**
 * The attention weights: softmax(scores * scale + mask) over the last axis.
 * @param scores [B, H, T, positions] @param mask [T, positions], 0 or -1e9 @returns as scores
 */
export function attentionWeights(scores: tf.Tensor4D, scale: number, mask?: tf.Tensor2D): tf.Tensor4D {
  return withGradient(([scores], save) => {
    const scaled = tf.mul(scores!, scale);
    const value = tf.softmax(mask ? tf.add(scaled, mask) : scaled);
    save([value]);
    return {
      value,
      gradFunc: (dy, [value]) => {
        const weighted = tf.mul(dy, tf.mul(value!, scale));
        return tf.sub(weighted, tf.mul(value!, tf.sum(weighted, -1, true)));
      },
    };
  }, scores) as tf.Tensor4D;
}

/**
 * Mean cross-entropy in nats over the positions where the mask is 1.
 * @param logits [N, V] @param targets [N] int32 @param mask [N] @returns scalar; NaN when the mask is empty
 */
export function maskedCrossEntropy(logits: tf.Tensor2D, targets: tf.Tensor1D, mask: tf.Tensor1D): tf.Scalar {
  return withGradient(([logits], save) => {
    const logProbabilities = tf.logSoftmax(logits as tf.Tensor2D);
    const wanted = tf.oneHot(targets, logits!.shape[1]!);
    const weight = tf.reshape(tf.div(mask, tf.sum(mask)), [-1, 1]);
    save([logProbabilities, wanted, weight]);
    return {
      value: tf.neg(tf.sum(tf.mul(tf.mul(logProbabilities, wanted), weight))),
      gradFunc: (dy, [logProbabilities, wanted, weight]) =>
        tf.mul(tf.sub(tf.exp(logProbabilities!), wanted!), tf.mul(weight!, dy)),
    };
  }, logits) as tf.Scalar;
}

/**
 * temperature^2 * KL(teacher || student) in nats, both softmax(logits / temperature), mean over the positions where the
 * mask is 1. The distillation of Hinton et al. 2015; the factor keeps the gradient's size when the temperature changes.
 * @param logits the student's [N, V] @param wanted the teacher's [N, V], a constant @param mask [N]
 * @returns scalar; NaN when the mask is empty
 */
export function maskedDistillation(
  logits: tf.Tensor2D,
  wanted: tf.Tensor2D,
  mask: tf.Tensor1D,
  temperature: number,
): tf.Scalar {
  return withGradient(([logits], save) => {
    const teacher = tf.logSoftmax(tf.div(wanted, temperature) as tf.Tensor2D);
    const student = tf.logSoftmax(tf.div(logits!, temperature) as tf.Tensor2D);
    const share = tf.exp(teacher);
    const weight = tf.reshape(tf.div(mask, tf.sum(mask)), [-1, 1]);
    save([student, share, weight]);
    return {
      value: tf.mul(tf.sum(tf.mul(tf.mul(share, tf.sub(teacher, student)), weight)), temperature ** 2),
      gradFunc: (dy, [student, share, weight]) =>
        tf.mul(tf.sub(tf.exp(student!), share!), tf.mul(tf.mul(weight!, temperature), dy)),
    };
  }, logits) as tf.Scalar;
}
