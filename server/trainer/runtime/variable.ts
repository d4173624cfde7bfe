import * as tf from '@tensorflow/tfjs-core';
import { nativeBackend, types, type Attribute, type NativeBackend } from './native-backend.js';
import type { Parameter } from './parameter.js';

/**
 * Makes a parameter on the current backend: a resource variable in TensorFlow, which optimizer operations change in
 * place, a tfjs variable elsewhere.
 * @param values makes its first values, float32; runs within tf.tidy
 */
export function makeParameter(name: string, values: () => tf.Tensor): Parameter {
  const backend = nativeBackend();
  let parameter: Parameter | undefined;
  tf.tidy(() => {
    const first = values();
    parameter = backend ? new ResourceVariable(backend, name, first) : new TfjsVariable(name, first);
  });
  return parameter!;
}

/** Copies a parameter's values to the host. */
export async function hostValues(parameter: Parameter): Promise<Float32Array> {
  const value = tf.tidy(() => parameter.value());
  const values = Float32Array.from(await value.data<'float32'>());
  value.dispose();
  return values;
}

class TfjsVariable implements Parameter {
  readonly shape: readonly number[];
  state = {};
  readonly #variable: tf.Variable;

  constructor(
    readonly name: string,
    values: tf.Tensor,
  ) {
    this.shape = values.shape;
    this.#variable = tf.variable(values);
  }

  get size(): number {
    return this.#variable.size;
  }

  value(): tf.Tensor {
    // Another tensor of the same values: the variable may be assigned while this one is used.
    return tf.clone(this.#variable);
  }

  assign(tensor: tf.Tensor): void {
    this.#variable.assign(tensor);
    this.changed();
  }

  changed(): void {
    this.state = {};
  }

  dispose(): void {
    this.#variable.dispose();
  }
}

let made = 0;

/** A variable of TensorFlow's runtime. Its memory is shared with the tensors read from it until it is changed. */
export class ResourceVariable implements Parameter {
  readonly shape: readonly number[];
  state = {};
  /** The handle's id in the addon. */
  readonly id: number;
  readonly #dtype: Attribute;

  constructor(
    private readonly backend: NativeBackend,
    readonly name: string,
    values: tf.Tensor,
  ) {
    if (values.dtype !== 'float32') throw new Error(`The parameter ${name} has ${values.dtype} values, not float32.`);
    const { binding } = backend;
    this.shape = values.shape;
    this.#dtype = { name: 'dtype', type: binding.TF_ATTR_TYPE, value: types.float32 };
    const attributes = [
      this.#dtype,
      { name: 'shape', type: binding.TF_ATTR_SHAPE, value: [...values.shape] },
      { name: 'container', type: binding.TF_ATTR_STRING, value: '' },
      { name: 'shared_name', type: binding.TF_ATTR_STRING, value: `plumbline ${++made} ${name}` },
    ];
    this.id = binding.executeOp('VarHandleOp', attributes, [], 1)[0]!.id;
    this.assign(values);
  }

  get size(): number {
    return tf.util.sizeFromShape([...this.shape]);
  }

  value(): tf.Tensor {
    const { backend } = this;
    const [read] = backend.binding.executeOp('ReadVariableOp', [this.#dtype], [this.id], 1);
    // A recorded read has no shape: TensorFlow does not follow a handle into a function.
    return backend.createOutputTensor({ ...read!, shape: [...this.shape] });
  }

  assign(tensor: tf.Tensor): void {
    tf.util.assertShapesMatch([...this.shape], tensor.shape, `The parameter ${this.name} keeps its shape. `);
    const { backend } = this;
    backend.binding.executeOp('AssignVariableOp', [this.#dtype], [this.id, ...backend.getInputTensorIds([tensor])], 0);
    this.changed();
  }

  changed(): void {
    this.state = {};
  }

  dispose(): void {
    const { binding } = this.backend;
    const attributes = [{ name: 'ignore_lookup_error', type: binding.TF_ATTR_BOOL, value: true }];
    binding.executeOp('DestroyResourceOp', attributes, [this.id], 0);
    binding.deleteTensor(this.id);
  }
}
