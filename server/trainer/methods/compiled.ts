import type * as tf from '@tensorflow/tfjs-core';
import { Programs } from '../runtime/program.js';
import type { Method } from './method.js';

/** Wraps a method so that loss and gradients of a step run as one compiled function if the backend has them. */
export function compiled(method: Method): Method {
  const programs = new Programs();
  return {
    ...method,
    lossAndGradients: (inputs, trainable) => {
      const name = `loss and gradients of ${trainable.join(', ')}, from ${Object.keys(inputs).join(', ')}`;
      const results = programs.run(name, Object.values(inputs), method.parameters, () => {
        const { loss, parts, gradients } = method.lossAndGradients(inputs, trainable);
        return { loss, ...prefixed('part', parts), ...prefixed('gradient', gradients) };
      });
      return {
        loss: results['loss'] as tf.Scalar,
        parts: withPrefix('part', results) as Map<string, tf.Scalar>,
        gradients: withPrefix('gradient', results),
      };
    },
    dispose: () => {
      programs.dispose();
      method.dispose();
    },
  };
}

const prefixed = (prefix: string, tensors: ReadonlyMap<string, tf.Tensor>): tf.NamedTensorMap =>
  Object.fromEntries([...tensors].map(([name, tensor]) => [`${prefix} ${name}`, tensor]));

const withPrefix = (prefix: string, tensors: tf.NamedTensorMap): Map<string, tf.Tensor> =>
  new Map(
    Object.entries(tensors).flatMap(([name, tensor]) =>
      name.startsWith(`${prefix} `) ? [[name.slice(prefix.length + 1), tensor]] : [],
    ),
  );
