import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { packageFolder } from './native-setup.js';

/** The used parts of tfjs-node's backend and its addon. Declared here because the package is optional. */
export interface NativeBackend extends tf.KernelBackend {
  binding: Binding;
  readonly isUsingGpuDevice: boolean;
  /** Ids of the tensors in the addon. Uploads values that are still on the host first. */
  getInputTensorIds(tensors: readonly tf.Tensor[]): number[];
  readonly tensorMap: { get(dataId: tf.DataId): { values: tf.BackendValues | null } };
  runSavedModel(
    id: number,
    inputs: readonly tf.Tensor[],
    infos: readonly { name: string }[],
    outputs: string[],
  ): tf.Tensor[];
}
interface Binding extends Readonly<Record<string, unknown>> {
  createTensor(shape: number[], dtype: number, values: ArrayBufferView): number;
  executeOp(name: string, attributes: Attribute[], inputs: number[], outputs: number): { id: number }[];
  tensorDataSync(id: number): unknown;
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
}
interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** The protocol buffer messages of a graph; tfjs-node ships them. */
type Message<Fields> = Fields & { serializeBinary(): Uint8Array };
interface AttrValue {
  setType(value: number): void;
  setB(value: boolean): void;
  setI(value: number): void;
  setF(value: number): void;
  setS(value: Uint8Array): void;
  setList(value: unknown): void;
  setShape(value: unknown): void;
  setTensor(value: unknown): void;
}
interface NodeDef {
  setName(value: string): void;
  setOp(value: string): void;
  setInputList(value: string[]): void;
  getAttrMap(): { set(name: string, value: AttrValue): void };
}
interface Messages {
  AttrValue: (new () => AttrValue) & { ListValue: new () => { setIList(values: number[]): void } };
  TensorShape: (new () => { addDim(dim: unknown): void }) & { Dim: new () => { setSize(size: number): void } };
  Tensor: new () => {
    setDtype(value: number): void;
    setTensorShape(value: unknown): void;
    setTensorContent(value: Uint8Array): void;
  };
  NodeDef: new () => NodeDef;
  VersionDef: new () => { setProducer(value: number): void };
  GraphDef: new () => { addNode(node: NodeDef): void; setVersions(value: unknown): void };
  MetaGraphDef: (new () => { setMetaInfoDef(value: unknown): void; setGraphDef(value: unknown): void }) & {
    MetaInfoDef: new () => { addTags(tag: string): void };
  };
  SavedModel: new () => Message<{
    setSavedModelSchemaVersion(value: number): void;
    addMetaGraphs(value: unknown): void;
  }>;
}

const require = createRequire(import.meta.url);
function loadMessages(): Messages {
  const folder = packageFolder('@tensorflow/tfjs-node') ?? packageFolder('@tensorflow/tfjs-node-gpu');
  return require(join(folder!, 'dist', 'proto', 'api_pb.js')) as Messages;
}

/** TensorFlow's numbers for the tensor types of a graph's inputs and outputs. */
const typeNumbers: Partial<Record<tf.DataType, number>> = { float32: 1, int32: 3, bool: 10 };
/** Any TensorFlow 2 version works; a graph without a version is read as one of the first TensorFlow. */
const graphVersion = 1000;
const tag = 'serve';

/** A recorded function, loaded into TensorFlow. */
export interface LoadedGraph {
  id: number;
  inputs: { name: string }[];
  /** The source of each output, by its name. */
  outputs: [name: string, source: string][];
}

/**
 * Records the TensorFlow operations of a function as a graph. It listens at the addon, below all of tfjs, so gradients,
 * composite kernels and tidying need no special handling.
 */
export class GraphRecorder {
  readonly #messages = loadMessages();
  readonly #graph = new this.#messages.GraphDef();
  /** The source of each addon tensor in the graph, `node:output`, by its id. */
  readonly #sources = new Map<number, string>();
  /** Tensors that the function made from host values: the constants of the graph. */
  readonly #made = new WeakSet<tf.DataId>();
  /** Ids of inputs and constants, which exist before anything is computed. */
  readonly #given = new Set<number>();
  #nodes = 0;

  constructor(
    private readonly backend: NativeBackend,
    /** names the recorded function in errors */
    private readonly name: string,
  ) {}

  /**
   * Runs `body` once, op by op, and keeps only the record of its operations.
   * @param inputs all tensors that `body` reads; it must make any other tensor itself, from constants
   * @throws Error when it reads another tensor or a computed value, because the graph would freeze today's value. It
   *   may read integers among its inputs and constants, as a gather reads its indices, if nothing else depends on them
   */
  record(inputs: readonly tf.Tensor[], body: () => tf.NamedTensorMap): LoadedGraph {
    const { backend } = this;
    const { binding, write, getInputTensorIds } = backend;
    const places = inputs.map((input, index) => this.#placeholder(input, index));
    const sources = this.#sources;
    if (sources.size < inputs.length) throw new Error(`Two inputs of ${this.name} share their values.`);
    backend.binding = Object.create(binding, {
      createTensor: {
        value: (shape: number[], dtype: number, values: ArrayBufferView): number => {
          const id = binding.createTensor(shape, dtype, values);
          sources.set(id, `${this.#constant(shape, dtype, values)}:0`);
          this.#given.add(id);
          return id;
        },
      },
      executeOp: {
        value: (op: string, attributes: Attribute[], ids: number[], count: number): { id: number }[] => {
          const results = binding.executeOp(op, attributes, ids, count);
          const from = ids.map((id) => this.#source(id));
          const node = this.#node(
            op,
            from,
            attributes.map(({ name, ...attribute }) => [name, this.#attribute(attribute)]),
          );
          results.forEach(({ id }, output) => sources.set(id, `${node}:${output}`));
          return results;
        },
      },
      tensorDataSync: {
        value: (id: number): unknown => {
          const values = binding.tensorDataSync(id);
          // tfjs checks that the indices of a gather are within bounds; the graph checks again at each run.
          if (values instanceof Int32Array && this.#given.has(id)) return values;
          throw new Error(`${this.name} reads a value while it is being recorded.`);
        },
      },
    }) as Binding;
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
    try {
      const outputs = tf.tidy(() => {
        const results = Object.entries(body());
        const ids = backend.getInputTensorIds(results.map(([, tensor]) => tensor));
        // Includes tensors that are marked to be kept.
        tf.dispose(results.flatMap(([, tensor]) => (inputs.includes(tensor) ? [] : [tensor])));
        return results.map(([name], index): [string, string] => [name, this.#source(ids[index]!)]);
      });
      return { id: this.#load(binding), inputs: places.map((name) => ({ name: `${name}:0` })), outputs };
    } finally {
      Object.assign(backend, { binding, write, getInputTensorIds });
    }
  }

  #source(id: number): string {
    const source = this.#sources.get(id);
    if (!source) throw this.#foreign();
    return source;
  }

  #foreign(): Error {
    return new Error(`${this.name} reads a tensor that is not among its inputs.`);
  }

  /** TensorFlow reads a graph from a folder only. @throws the file system's errors */
  #load(binding: Binding): number {
    const { MetaGraphDef, SavedModel, VersionDef } = this.#messages;
    const version = new VersionDef();
    version.setProducer(graphVersion);
    this.#graph.setVersions(version);
    const info = new MetaGraphDef.MetaInfoDef();
    info.addTags(tag);
    const metaGraph = new MetaGraphDef();
    metaGraph.setMetaInfoDef(info);
    metaGraph.setGraphDef(this.#graph);
    const model = new SavedModel();
    model.setSavedModelSchemaVersion(1);
    model.addMetaGraphs(metaGraph);
    const folder = mkdtempSync(join(tmpdir(), 'plumbline-graph-'));
    try {
      writeFileSync(join(folder, 'saved_model.pb'), model.serializeBinary());
      return binding.loadSavedModel(folder, tag);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #placeholder(input: tf.Tensor, index: number): string {
    const node = this.#node(
      'Placeholder',
      [],
      [
        ['dtype', this.#value((value) => value.setType(typeNumbers[input.dtype]!))],
        ['shape', this.#value((value) => value.setShape(this.#shape(input.shape)))],
      ],
      `input${index}`,
    );
    const [id] = this.backend.getInputTensorIds([input]);
    this.#sources.set(id!, `${node}:0`);
    this.#given.add(id!);
    return node;
  }

  #constant(shape: number[], dtype: number, values: ArrayBufferView): string {
    const tensor = new this.#messages.Tensor();
    tensor.setDtype(dtype);
    tensor.setTensorShape(this.#shape(shape));
    tensor.setTensorContent(new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice());
    return this.#node(
      'Const',
      [],
      [
        ['dtype', this.#value((value) => value.setType(dtype))],
        ['value', this.#value((value) => value.setTensor(tensor))],
      ],
    );
  }

  /** @returns its name */
  #node(op: string, inputs: string[], attributes: [string, AttrValue][], name = `node${this.#nodes++}`): string {
    const node = new this.#messages.NodeDef();
    node.setName(name);
    node.setOp(op);
    node.setInputList(inputs);
    const values = node.getAttrMap();
    for (const [attribute, value] of attributes) values.set(attribute, value);
    this.#graph.addNode(node);
    return name;
  }

  #attribute({ type, value }: Omit<Attribute, 'name'>): AttrValue {
    const { binding } = this.backend;
    return this.#value((attribute) => {
      if (type === binding['TF_ATTR_TYPE']) attribute.setType(value as number);
      else if (type === binding['TF_ATTR_BOOL']) attribute.setB(value as boolean);
      else if (type === binding['TF_ATTR_FLOAT']) attribute.setF(value as number);
      else if (type === binding['TF_ATTR_STRING']) attribute.setS(Buffer.from(value as string));
      else if (type === binding['TF_ATTR_INT'] && typeof value === 'number') attribute.setI(value);
      else if (type === binding['TF_ATTR_INT']) {
        const list = new this.#messages.AttrValue.ListValue();
        list.setIList(value as number[]);
        attribute.setList(list);
      } else throw new Error(`${this.name} has an attribute of a kind that is not recorded: ${JSON.stringify(value)}.`);
    });
  }

  #value(set: (value: AttrValue) => void): AttrValue {
    const value = new this.#messages.AttrValue();
    set(value);
    return value;
  }

  #shape(shape: readonly number[]): unknown {
    const { TensorShape } = this.#messages;
    const message = new TensorShape();
    for (const size of shape) {
      const dim = new TensorShape.Dim();
      dim.setSize(size);
      message.addDim(dim);
    }
    return message;
  }
}
