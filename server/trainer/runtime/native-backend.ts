import * as tf from '@tensorflow/tfjs-core';

/** The used parts of tfjs-node's backend and its addon. Declared here because the package is optional. */
export interface NativeBackend extends tf.KernelBackend {
  binding: Binding;
  readonly isUsingGpuDevice: boolean;
  /** Ids of the tensors in the addon. Uploads values that are still on the host first. */
  getInputTensorIds(tensors: readonly tf.Tensor[]): number[];
  createOutputTensor(metadata: TensorMetadata): tf.Tensor;
  readonly tensorMap: { get(dataId: tf.DataId): { values: tf.BackendValues | null } };
}

/** A tensor of the addon. Ids of tensors on a device are not negative. */
export interface TensorMetadata {
  id: number;
  shape: number[];
  /** TensorFlow's number of the type. */
  dtype: number;
}

export interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** A graph under construction, opaque to JavaScript. */
export type Graph = object & { readonly graph: unique symbol };
/** A tensor of a graph. `shape` is null where TensorFlow cannot infer it. */
export interface GraphTensor {
  index: number;
  shape: number[] | null;
  dtype: number;
}

/** The addon: tfjs-node's functions, and ours of native/graph_functions.cc. */
export interface Binding {
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_BOOL: number;
  createTensor(shape: number[], dtype: number, values: ArrayBufferView): number;
  deleteTensor(id: number): void;
  executeOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputs: number,
  ): TensorMetadata[];
  tensorDataSync(id: number): ArrayBufferView;
  graphCreate(): Graph;
  graphOperation(
    graph: Graph,
    op: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    after: readonly number[],
  ): GraphTensor[];
  graphConstant(graph: Graph, shape: number[], dtype: number, values: ArrayBufferView): GraphTensor[];
  graphSetShape(graph: Graph, index: number, shape: readonly number[]): void;
  graphFunction(graph: Graph, name: string, inputs: readonly number[], outputs: readonly number[]): void;
  removeFunction(name: string): void;
}

/** TensorFlow's numbers of the types. */
export const types = { float32: 1, int32: 3, bool: 10, bfloat16: 14, resource: 20 } as const;

/** The TensorFlow backend when it is the current one, on the CPU or a GPU. */
export function nativeBackend(): NativeBackend | undefined {
  return tf.getBackend() === 'tensorflow' ? (tf.backend() as unknown as NativeBackend) : undefined;
}
