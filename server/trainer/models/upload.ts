import * as tf from '@tensorflow/tfjs-core';
import type { HostInputs, HostValues, Inputs } from './model.js';

/** Values of the host as a tensor: int32 or float32, by their array. */
export const upload = ({ data, shape }: HostValues): tf.Tensor =>
  tf.tensor(data, shape, data instanceof Int32Array ? 'int32' : 'float32');

/** A collated batch on the device. The caller disposes it. */
export const uploadInputs = (inputs: HostInputs): Inputs =>
  Object.fromEntries(Object.entries(inputs).map(([name, values]) => [name, upload(values)]));
