import { beforeAll, describe, expect, it, vi } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import type { NativeBackend } from './graph-recorder.js';
import { Graphs } from './graphs.js';
import { nativeIsSetUp } from './native-setup.js';
import { selectBackend } from './select-backend.js';

const hasGraphs = nativeIsSetUp('@tensorflow/tfjs-node');

const functionsOn = (backend: 'tensorflow' | 'wasm') => (): void => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const loadedGraphs = (): number =>
    (tf.backend() as NativeBackend & { binding: { getNumOfSavedModels(): number } }).binding.getNumOfSavedModels();

  it('gives the function’s results, gradients too, for the current values of its inputs', async () => {
    const graphs = new Graphs();
    const weight = tf.variable(tf.tensor2d([1, 2, 3, 4], [2, 2]));
    const x = tf.tensor2d([1, -1], [1, 2]);
    // sum((x w)^2), whose gradient is 2 x^T x w.
    const run = (): tf.NamedTensorMap =>
      graphs.run('squares', [weight, x], () => {
        const { value, grads } = tf.variableGrads(() => tf.sum(tf.square(tf.matMul(x, weight))) as tf.Scalar, [weight]);
        return { value, gradient: grads[weight.name]! };
      });
    for (const [values, value, gradient] of [
      [[1, 2, 3, 4], 8, [-4, -4, 4, 4]],
      [[5, 0, 1, 1], 17, [8, -2, -8, 2]],
    ] as const) {
      weight.assign(tf.tensor2d([...values], [2, 2]));
      const results = run();
      expect(Array.from(await results['value']!.data())).toEqual([value]);
      expect(Array.from(await results['gradient']!.data())).toEqual(gradient);
      expect(results['gradient']!.shape).toEqual([2, 2]);
      tf.dispose(results);
    }
    graphs.dispose();
  });

  it('distinguishes functions by the shapes of their inputs', async () => {
    const graphs = new Graphs();
    const sums: number[] = [];
    for (const size of [2, 3, 2]) {
      const x = tf.ones([size]);
      // The size is a constant of the function.
      const { sum } = graphs.run('sum', [x], () => ({ sum: tf.mul(tf.sum(x), x.size) }));
      sums.push((await sum!.data())[0]!);
    }
    expect(sums).toEqual([4, 9, 4]);
    graphs.dispose();
  });

  it('gathers by given or constant indices', async () => {
    const graphs = new Graphs();
    const [table, at] = [tf.tensor1d([10, 20, 30]), tf.variable(tf.tensor1d([2, 0], 'int32'))];
    const looked = async (): Promise<number[][]> => {
      const { given, made } = graphs.run('look up', [table, at], () => ({
        given: tf.gather(table, at),
        made: tf.gather(table, tf.tensor1d([1], 'int32')),
      }));
      return [Array.from(await given!.data()), Array.from(await made!.data())];
    };
    expect(await looked()).toEqual([[30, 10], [20]]);
    at.assign(tf.tensor1d([1, 1], 'int32'));
    expect(await looked()).toEqual([[20, 20], [20]]);
    graphs.dispose();
  });

  it('leaves no tensor and no graph behind', async () => {
    const graphs = new Graphs();
    const x = tf.ones([3]);
    const once = (name: string): void =>
      tf.dispose(graphs.run(name, [x], () => ({ twice: tf.keep(tf.mul(x, 2)), same: tf.add(x, 0) })));
    once('first');
    const before = tf.memory().numTensors;
    for (let i = 0; i < 40; i++) once(`function ${i}`);
    expect(tf.memory().numTensors).toBe(before);
    if (backend === 'tensorflow') expect(loadedGraphs()).toBeGreaterThan(0);
    if (backend === 'tensorflow') expect(loadedGraphs()).toBeLessThan(20);
    graphs.dispose();
    if (backend === 'tensorflow') expect(loadedGraphs()).toBe(0);
  });

  it.runIf(backend === 'tensorflow')('refuses a function whose result would be frozen at its first call', () => {
    const graphs = new Graphs();
    const [x, onHost] = [tf.ones([2]), tf.ones([2])];
    const onDevice = tf.add(x, 0);
    for (const other of [onHost, onDevice])
      expect(() => graphs.run('leaky', [x], () => ({ sum: tf.add(x, other) }))).toThrow(
        'leaky reads a tensor that is not among its inputs.',
      );
    expect(() => graphs.run('branching', [x], () => ({ y: tf.mul(x, tf.sum(x).dataSync()[0]!) }))).toThrow(
      'branching reads a value while it is being recorded.',
    );
    // Integers too, if the function computed them.
    const rounded = (): number => tf.cast(tf.sum(x), 'int32').dataSync()[0]!;
    expect(() => graphs.run('rounding', [x], () => ({ y: tf.mul(x, rounded()) }))).toThrow(
      'rounding reads a value while it is being recorded.',
    );
    // A refusal leaves the backend unchanged.
    expect(Array.from(tf.add(onHost, onDevice).dataSync())).toEqual([2, 2]);
  });

  it.runIf(backend === 'tensorflow')('runs op by op, and says why, when its file cannot be written', async () => {
    const [graphs, warn] = [new Graphs(), vi.spyOn(console, 'warn').mockImplementation(() => {})];
    vi.stubEnv('TMPDIR', '/nowhere/at/all');
    const x = tf.ones([2]);
    for (let call = 0; call < 2; call++) {
      const { twice } = graphs.run('double', [x], () => ({ twice: tf.mul(x, 2) }));
      expect(Array.from(await twice!.data())).toEqual([2, 2]);
    }
    vi.unstubAllEnvs();
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/slower than it could be.*ENOENT.*\/nowhere\/at\/all/)]]);
    warn.mockRestore();
  });
};
const missing = hasGraphs ? '' : ': skipped, for it is not set up here (npm run plumbline -- setup)';
describe.runIf(hasGraphs)(`functions on tensorflow${missing}`, functionsOn('tensorflow'));
describe('functions on wasm', functionsOn('wasm'));
