import * as tf from '@tensorflow/tfjs-core';

type Save = (tensors: tf.Tensor[]) => void;

/** A value and its hand-written gradient. */
export interface WithGradient {
  value: tf.Tensor;
  /** @returns one gradient for each input */
  gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor | tf.Tensor[];
}

/**
 * tf.customGrad with its run-time types. tfjs derives gradients from small operations, each with its own kernel; a
 * hand-written gradient needs fewer kernels and keeps less. Tensors that the gradient needs go through `save`; every
 * other tensor of the forward pass is released at its end.
 * @param f its last argument saves tensors for the gradient
 */
export function withGradient(
  f: (inputs: tf.Tensor[], save: Save) => WithGradient,
  ...inputs: readonly tf.Tensor[]
): tf.Tensor {
  return tf.customGrad((...all: unknown[]) => {
    const save = all.pop() as Save;
    return f(all as tf.Tensor[], save);
  })(...inputs);
}

/**
 * The gradients of f at `inputs` for a gradient `dy` of its value, within the backward pass of another function. tfjs
 * has one tape: a second gradient would end the first one's.
 */
export function gradientsWithin(
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
  dy: tf.Tensor,
): tf.Tensor[] {
  const { state } = tf.engine();
  const outer = state.activeTape;
  try {
    return tf.grads(f)(inputs, dy);
  } finally {
    state.activeTape = outer;
  }
}
