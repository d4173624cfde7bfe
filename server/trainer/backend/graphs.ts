import * as tf from '@tensorflow/tfjs-core';
import { GraphRecorder, type LoadedGraph, type NativeBackend } from './graph-recorder.js';

/** A trainer needs few graphs at a time: a selection from before an intervention seldom returns. */
const keptGraphs = 12;

/**
 * Runs each function of tensors as one TensorFlow graph, like tf.function in Python: TensorFlow runs independent
 * operations in parallel, fuses what it can, and never waits for JavaScript between kernels. A training step takes
 * about half the time that it takes op by op (bench:train).
 *
 * On other backends than TensorFlow on the CPU it simply calls the function: they have no graphs, and on a GPU a
 * graph's inputs would travel through the host.
 */
export class Graphs {
  /** Least recently used first; undefined where a graph could not be loaded. */
  readonly #graphs = new Map<string, LoadedGraph | undefined>();

  /**
   * @param name identifies the function: the same name with inputs of the same shapes runs the same graph
   * @param inputs all tensors that `body` reads; any other value would stay as it was at the first call
   * @param body runs only when the name is new
   * @returns what `body` returns; the caller disposes it
   * @throws Error when `body` reads another tensor or a value that it has computed
   */
  run(name: string, inputs: readonly tf.Tensor[], body: () => tf.NamedTensorMap): tf.NamedTensorMap {
    const backend = tf.backend() as NativeBackend;
    if (tf.getBackend() !== 'tensorflow' || backend.isUsingGpuDevice) return tf.tidy(body);
    const key = [name, ...inputs.map(({ dtype, shape }) => `${dtype} ${shape}`)].join('\n');
    const graph = this.#graphs.has(key) ? this.#graphs.get(key) : load(backend, name, inputs, body);
    this.#graphs.delete(key);
    this.#graphs.set(key, graph);
    this.#forget(keptGraphs);
    if (!graph) return tf.tidy(body);
    const results = backend.runSavedModel(
      graph.id,
      inputs,
      graph.inputs,
      graph.outputs.map(([, source]) => source),
    );
    return Object.fromEntries(graph.outputs.map(([output], index) => [output, results[index]!]));
  }

  dispose(): void {
    this.#forget(0);
  }

  /** Drops all but the last `kept` graphs. */
  #forget(kept: number): void {
    for (const [key, graph] of [...this.#graphs].slice(0, Math.max(0, this.#graphs.size - kept))) {
      this.#graphs.delete(key);
      if (graph) (tf.backend() as NativeBackend).binding.deleteSavedModel(graph.id);
    }
  }
}

/** Without disk space for the graph's file there is no graph: the function still runs, slower. */
function load(
  backend: NativeBackend,
  name: string,
  inputs: readonly tf.Tensor[],
  body: () => tf.NamedTensorMap,
): LoadedGraph | undefined {
  try {
    return new GraphRecorder(backend, name).record(inputs, body);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    console.warn(`Training is slower than it could be: no graph could be written. ${(error as Error).message}`);
    return undefined;
  }
}
