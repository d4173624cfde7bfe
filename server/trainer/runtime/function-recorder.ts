import * as tf from '@tensorflow/tfjs-core';
import {
  types,
  type Attribute,
  type Binding,
  type Graph,
  type GraphTensor,
  type NativeBackend,
  type TensorMetadata,
} from './native-backend.js';

/** A function of TensorFlow's eager context. */
export interface RecordedFunction {
  name: string;
  /** The parameters that it reads or changes, as indices. Their handles follow its tensors among its inputs. */
  parameters: number[];
  outputs: string[];
}

/** A resource variable: its handle's id in the addon, and the shape of its value. */
interface Variable {
  readonly id: number;
  readonly shape: readonly number[];
}

/** The id of a graph's tensor: negative, below the -1 of tensors that are still on the host. */
const idOf = (index: number): number => -2 - index;
const indexOf = (id: number): number => -2 - id;

/**
 * Records the operations of a function as a TensorFlow function. It stands in for the addon, below all of tfjs, so
 * gradients, composite kernels and tidying need no special handling. Nothing is computed: TensorFlow infers the shapes.
 */
export class FunctionRecorder {
  readonly #graph: Graph;
  readonly #binding: Binding;
  /** Graph tensors of the inputs and of the handles of parameters, by their ids in the addon. */
  readonly #given = new Map<number, number>();
  /** Values that the function may read while it is recorded: constants, by their graph tensors. */
  readonly #constants = new Map<number, ArrayBufferView>();
  /** Tensors that the function made from host values: its constants. */
  readonly #made = new WeakSet<tf.DataId>();
  readonly #parameters = new Map<number, number>();
  readonly #places: ReadonlyMap<number, number>;
  /** Operations recorded now wait for these graph tensors. */
  #after: number[] = [];

  constructor(
    private readonly backend: NativeBackend,
    /** names the recorded function in errors */
    private readonly name: string,
    private readonly parameters: readonly Variable[],
  ) {
    this.#places = new Map(parameters.map(({ id }, place) => [id, place]));
    this.#binding = backend.binding;
    this.#graph = this.#binding.graphCreate();
  }

  /**
   * @param name of the new function, unique in the process
   * @param inputs all tensors that `body` reads, beside parameters; it makes any other tensor itself, from constants
   * @throws Error when `body` reads another tensor or a computed value, which the function would freeze. It may read
   *   integers among its inputs and constants, as a gather reads its indices, if nothing else depends on them
   */
  record(name: string, inputs: readonly tf.Tensor[], body: () => tf.NamedTensorMap): RecordedFunction {
    const { backend } = this;
    // Inputs that are still on the host are uploaded first.
    const places = backend.getInputTensorIds(inputs).map((id, i) => this.#placeholder(id, inputs[i]!));
    if (this.#given.size < inputs.length) throw new Error(`Two inputs of ${this.name} share their values.`);
    const { write, getInputTensorIds } = backend;
    backend.binding = this.#recording();
    backend.write = (...values): tf.DataId => {
      const dataId = write.apply(backend, values);
      this.#made.add(dataId);
      return dataId;
    };
    backend.getInputTensorIds = (tensors): number[] => {
      // A tensor still on the host has no id yet; uploaded now, it would become a constant.
      if (tensors.some(({ dataId }) => backend.tensorMap.get(dataId).values && !this.#made.has(dataId)))
        throw this.#foreign();
      return getInputTensorIds.call(backend, tensors);
    };
    recordAfter = (waited, inner) => this.#waitFor(waited, inner);
    try {
      const results = tf.tidy(() => {
        const outputs = Object.entries(body());
        const ids = backend.getInputTensorIds(outputs.map(([, tensor]) => tensor));
        tf.dispose(outputs.flatMap(([, tensor]) => (inputs.includes(tensor) ? [] : [tensor])));
        // A function's outputs are operations of their own: an input may be an output.
        return outputs.map(([output], i) => ({ output, index: this.#identity(this.#indexOf(ids[i]!)) }));
      });
      const handles = [...this.#parameters.values()];
      this.#binding.graphFunction(
        this.#graph,
        name,
        [...places, ...handles],
        results.map(({ index }) => index),
      );
      return { name, parameters: [...this.#parameters.keys()], outputs: results.map(({ output }) => output) };
    } finally {
      recordAfter = undefined;
      Object.assign(backend, { binding: this.#binding, write, getInputTensorIds });
    }
  }

  #waitFor<T>(tensors: readonly tf.Tensor[], body: () => T): T {
    const outer = this.#after;
    this.#after = this.backend.getInputTensorIds(tensors).map((id) => this.#indexOf(id));
    try {
      return body();
    } finally {
      this.#after = outer;
    }
  }

  #recording(): Binding {
    const binding = this.#binding;
    return Object.create(binding, {
      createTensor: {
        value: (shape: number[], dtype: number, values: ArrayBufferView): number => {
          const [{ index }] = binding.graphConstant(this.#graph, shape, dtype, values) as [GraphTensor];
          this.#constants.set(index, values);
          return idOf(index);
        },
      },
      deleteTensor: {
        value: (id: number): void => {
          // The body may dispose tensors of its own only, and those live in the graph.
          if (id >= 0) throw new Error(`${this.name} disposes a tensor that it has not made.`);
        },
      },
      executeOp: {
        value: (op: string, attributes: readonly Attribute[], ids: readonly number[]): TensorMetadata[] => {
          const inputs = ids.map((id) => this.#indexOf(id));
          const results = binding.graphOperation(this.#graph, op, attributes, inputs, this.#after);
          const variable = op === 'ReadVariableOp' ? this.parameters[this.#places.get(ids[0]!)!] : undefined;
          return results.map(({ index, shape, dtype }) => {
            if (variable) binding.graphSetShape(this.#graph, index, variable.shape);
            const known = variable ? [...variable.shape] : shape;
            if (!known) throw new Error(`TensorFlow cannot infer the shape of ${op} in ${this.name}.`);
            return { id: idOf(index), shape: known, dtype };
          });
        },
      },
      tensorDataSync: {
        value: (id: number): ArrayBufferView => {
          const values = id >= 0 ? this.#integers(id) : this.#constants.get(indexOf(id));
          if (values) return values;
          throw new Error(`${this.name} reads a value while it is being recorded.`);
        },
      },
    }) as Binding;
  }

  /** tfjs checks that the indices of a gather are within bounds; TensorFlow checks again at each run. */
  #integers(id: number): ArrayBufferView | undefined {
    if (!this.#given.has(id)) return undefined;
    const values = this.#binding.tensorDataSync(id);
    return values instanceof Int32Array ? values : undefined;
  }

  #indexOf(id: number): number {
    if (id < -1) return indexOf(id);
    const given = this.#given.get(id);
    if (given !== undefined) return given;
    const place = this.#places.get(id);
    if (place === undefined) throw this.#foreign();
    const index = this.#addPlaceholder(types.resource, []);
    this.#given.set(id, index);
    this.#parameters.set(place, index);
    return index;
  }

  #foreign(): Error {
    return new Error(`${this.name} reads a tensor that is not among its inputs.`);
  }

  #placeholder(id: number, { dtype, shape }: tf.Tensor): number {
    const type = (types as Partial<Record<tf.DataType, number>>)[dtype];
    if (type === undefined) throw new Error(`${this.name} takes no inputs of type ${dtype}.`);
    const index = this.#addPlaceholder(type, shape);
    this.#given.set(id, index);
    return index;
  }

  #addPlaceholder(dtype: number, shape: readonly number[]): number {
    const { TF_ATTR_TYPE, TF_ATTR_SHAPE } = this.#binding;
    const attributes = [
      { name: 'dtype', type: TF_ATTR_TYPE, value: dtype },
      { name: 'shape', type: TF_ATTR_SHAPE, value: [...shape] },
    ];
    return this.#binding.graphOperation(this.#graph, 'Placeholder', attributes, [], [])[0]!.index;
  }

  #identity(index: number): number {
    return this.#binding.graphOperation(this.#graph, 'Identity', [], [index], [])[0]!.index;
  }
}

type RunAfter = <T>(tensors: readonly tf.Tensor[], body: () => T) => T;
/** The recorder's, while a function is recorded. */
let recordAfter: RunAfter | undefined;

/**
 * Runs `body` so that, in a recorded function, its operations wait for `tensors`. TensorFlow runs an operation as soon
 * as its inputs are there: without this, what is recomputed in a backward pass would be computed in the forward pass.
 */
export const runAfter: RunAfter = (tensors, body) => (recordAfter ? recordAfter(tensors, body) : body());
