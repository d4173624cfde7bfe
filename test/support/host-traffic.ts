import { nativeBackend, type Binding } from '../../server/trainer/runtime/native-backend.js';

/** Bytes that crossed between the host and TensorFlow's device. */
export interface HostTraffic {
  up: number;
  down: number;
}

/**
 * Counts the bytes that cross while `body` runs: values uploaded as tensors, and tensors read back.
 * @throws Error when the current backend is not TensorFlow
 */
export async function countHostTraffic(body: () => Promise<void>): Promise<HostTraffic> {
  const backend = nativeBackend();
  if (!backend) throw new Error('Traffic is counted on TensorFlow only.');
  const { binding } = backend;
  const traffic = { up: 0, down: 0 };
  const createTensor: Binding['createTensor'] = (shape, dtype, values) => {
    traffic.up += values.byteLength;
    return binding.createTensor(shape, dtype, values);
  };
  const tensorDataSync: Binding['tensorDataSync'] = (id) => {
    const values = binding.tensorDataSync(id);
    traffic.down += values.byteLength;
    return values;
  };
  backend.binding = Object.create(binding, {
    createTensor: { value: createTensor },
    tensorDataSync: { value: tensorDataSync },
  }) as Binding;
  try {
    await body();
  } finally {
    backend.binding = binding;
  }
  return traffic;
}
