import * as tf from '@tensorflow/tfjs-core';
import { FunctionRecorder, type RecordedFunction } from './function-recorder.js';
import { nativeBackend, type NativeBackend } from './native-backend.js';
import type { Parameter } from './parameter.js';
import type { ResourceVariable } from './variable.js';

/** A trainer needs few functions at a time: a selection from before an intervention seldom returns. */
const keptFunctions = 64;
/** Makes the names of functions unique in the process. */
let recorded = 0;

/**
 * Runs functions of tensors, each compiled once by TensorFlow for its name and the shapes of its inputs, as tf.function
 * in Python: TensorFlow runs independent operations in parallel, fuses what it can, and never waits for JavaScript
 * between kernels. Inputs, outputs and parameters stay on their device.
 *
 * On other backends it calls the function: they have no graphs.
 */
export class Programs {
  /** Least recently used first. */
  readonly #functions = new Map<string, RecordedFunction>();

  /** Number of functions that were compiled, those dropped since included. */
  compiled = 0;

  /**
   * @param name identifies the function: the same name with inputs of the same shapes runs the same function
   * @param inputs all tensors that `body` reads, beside the values of `parameters`; any other value would stay as it
   *   was at the first call
   * @param parameters that `body` may read or change; the same name goes with the same order
   * @param body runs only when the name is new, and then computes nothing
   * @returns what `body` returns; the caller disposes it
   * @throws Error when `body` reads another tensor or a value that it has computed
   */
  run(
    name: string,
    inputs: readonly tf.Tensor[],
    parameters: readonly Parameter[],
    body: () => tf.NamedTensorMap,
  ): tf.NamedTensorMap {
    const backend = nativeBackend();
    if (!backend) return tf.tidy(body);
    const variables = parameters as readonly ResourceVariable[];
    const key = [name, ...inputs.map(({ dtype, shape }) => `${dtype} ${shape}`)].join('\n');
    let found = this.#functions.get(key);
    if (found) this.#functions.delete(key);
    else {
      found = new FunctionRecorder(backend, name, variables).record(`plumbline_${++recorded}`, inputs, body);
      this.compiled++;
    }
    this.#functions.set(key, found);
    this.#forget(backend, keptFunctions);
    return call(backend, found, inputs, variables);
  }

  dispose(): void {
    const backend = nativeBackend();
    if (backend) this.#forget(backend, 0);
  }

  /** Drops all but the last `kept` functions. */
  #forget({ binding }: NativeBackend, kept: number): void {
    for (const [key, { name }] of [...this.#functions].slice(0, Math.max(0, this.#functions.size - kept))) {
      this.#functions.delete(key);
      binding.removeFunction(name);
    }
  }
}

function call(
  backend: NativeBackend,
  { name, parameters, outputs }: RecordedFunction,
  inputs: readonly tf.Tensor[],
  variables: readonly ResourceVariable[],
): tf.NamedTensorMap {
  const handles = parameters.map((place) => variables[place]!.id);
  const ids = [...backend.getInputTensorIds(inputs), ...handles];
  const results = backend.binding.executeOp(name, [], ids, outputs.length);
  return Object.fromEntries(outputs.map((output, i) => [output, backend.createOutputTensor(results[i]!)]));
}
