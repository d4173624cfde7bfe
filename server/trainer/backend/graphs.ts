import * as tf from '@tensorflow/tfjs-core';
import { GraphRecorder, type LoadedGraph, type NativeBackend } from './graph-recorder.js';

/** A trainer needs few at a time: what was trained before an intervention is seldom trained again. */
const keptGraphs = 12;

/**
 * Runs functions of tensors as one TensorFlow graph each, as tf.function does in Python: TensorFlow then runs what is
 * independent side by side, fuses what it can, and nothing waits for JavaScript between two kernels. A training step
 * takes about half the time that it takes op by op (bench:train).
 *
 * Where the backend is not TensorFlow on the CPU, a function is simply called: others have no graphs, and on a GPU a
 * graph's inputs would travel over the host.
 */
export class Graphs {
  /** Least recently used first; undefined where a graph could not be loaded. */
  readonly #graphs = new Map<string, LoadedGraph | undefined>();

  /**
   * @param name says which function this is: the same name, and inputs of the same shapes, run the same graph
   * @param inputs all tensors that `body` reads: what it reads beside them would stay as it was at the first call
   * @param body is run when the name is new, and not again
   * @returns what `body` returns; the caller disposes it
   * @throws Error when `body` reads another tensor, or waits for a value that it has computed
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

  /** Forgets all but the last `kept`. */
  #forget(kept: number): void {
    for (const [key, graph] of [...this.#graphs].slice(0, Math.max(0, this.#graphs.size - kept))) {
      this.#graphs.delete(key);
      if (graph) (tf.backend() as NativeBackend).binding.deleteSavedModel(graph.id);
    }
  }
}

/** Without room for the graph's file there is none: the function still runs, slower. */
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
