import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { runAfter } from './function-recorder.js';
import { nativeBackend, type Binding } from './native-backend.js';
import { Parameters } from './parameter.js';
import { Programs } from './program.js';
import { hostValues, makeParameter } from './variable.js';

const isSetUp = nativeIsSetUp('@tensorflow/tfjs-node');

const programsOn = (backend: 'tensorflow' | 'wasm') => (): void => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });

  it('gives the function’s results, gradients too, for the current values of inputs and parameters', async () => {
    const programs = new Programs();
    const weights = new Parameters([makeParameter('w', () => tf.zeros([2, 2]))]);
    const x = tf.tensor2d([1, -1], [1, 2]);
    // sum((x w)^2), whose gradient is 2 x^T x w.
    const run = (): tf.NamedTensorMap =>
      programs.run('squares', [x], [...weights], () => {
        const { loss, gradients } = weights.gradients(['w'], () =>
          tf.sum(tf.square(tf.matMul(x, weights.get<tf.Rank.R2>('w')))),
        );
        return { loss, gradient: gradients.get('w')! };
      });
    for (const [values, loss, gradient] of [
      [[1, 2, 3, 4], 8, [-4, -4, 4, 4]],
      [[5, 0, 1, 1], 17, [8, -2, -8, 2]],
    ] as const) {
      weights.parameter('w').assign(tf.tensor2d([...values], [2, 2]));
      const results = run();
      expect(Array.from(await results['loss']!.data())).toEqual([loss]);
      expect(Array.from(await results['gradient']!.data())).toEqual(gradient);
      expect(results['gradient']!.shape).toEqual([2, 2]);
      tf.dispose(results);
    }
    expect(programs.compiled).toBe(backend === 'tensorflow' ? 1 : 0);
    programs.dispose();
    weights.dispose();
  });

  it('changes parameters in place, and runs assignments that nothing reads', async () => {
    const programs = new Programs();
    const count = makeParameter('count', () => tf.tensor1d([1, 2]));
    const before = count.value();
    for (let call = 0; call < 3; call++)
      programs.run('double', [], [count], () => {
        count.assign(tf.mul(count.value(), 2));
        return {};
      });
    expect(Array.from(await hostValues(count))).toEqual([8, 16]);
    // A value read before keeps what it was.
    expect(Array.from(await before.data())).toEqual([1, 2]);
    programs.dispose();
    count.dispose();
  });

  it('serves parameters of another model with the same function', async () => {
    const programs = new Programs();
    const [first, second] = [1, 10].map((value) => makeParameter('w', () => tf.fill([2], value)));
    const sum = async (parameter: typeof first): Promise<number> => {
      const { sum } = programs.run('sum', [], [parameter!], () => ({ sum: tf.sum(parameter!.value()) }));
      return (await sum!.data())[0]!;
    };
    expect([await sum(first), await sum(second), await sum(first)]).toEqual([2, 20, 2]);
    expect(programs.compiled).toBe(backend === 'tensorflow' ? 1 : 0);
    programs.dispose();
  });

  it('distinguishes functions by the shapes of their inputs', async () => {
    const programs = new Programs();
    const sums: number[] = [];
    for (const size of [2, 3, 2]) {
      const x = tf.ones([size]);
      // The size is a constant of the function.
      const { sum } = programs.run('sum', [x], [], () => ({ sum: tf.mul(tf.sum(x), x.size) }));
      sums.push((await sum!.data())[0]!);
    }
    expect(sums).toEqual([4, 9, 4]);
    programs.dispose();
  });

  it('gathers by given or constant indices', async () => {
    const programs = new Programs();
    const table = tf.tensor1d([10, 20, 30]);
    const looked = async (...indices: number[]): Promise<number[][]> => {
      const at = tf.tensor1d(indices, 'int32');
      const { given, made } = programs.run('look up', [table, at], [], () => ({
        given: tf.gather(table, at),
        made: tf.gather(table, tf.tensor1d([1], 'int32')),
      }));
      return [Array.from(await given!.data()), Array.from(await made!.data())];
    };
    expect(await looked(2, 0)).toEqual([[30, 10], [20]]);
    expect(await looked(1, 1)).toEqual([[20, 20], [20]]);
    programs.dispose();
  });

  it('may return an input, and runs what is to wait', async () => {
    const programs = new Programs();
    const x = tf.tensor1d([1, 2]);
    const { same, later } = programs.run('wait', [x], [], () => {
      const sum = tf.sum(x);
      return { same: x, later: runAfter([sum], () => tf.mul(x, 3)) };
    });
    expect(Array.from(await same!.data())).toEqual([1, 2]);
    expect(Array.from(await later!.data())).toEqual([3, 6]);
    programs.dispose();
  });

  it('leaves no tensor behind, and few functions', () => {
    const programs = new Programs();
    const x = tf.ones([3]);
    const once = (name: string): void =>
      tf.dispose(programs.run(name, [x], [], () => ({ twice: tf.keep(tf.mul(x, 2)), same: tf.add(x, 0) })));
    once('first');
    const before = tf.memory().numTensors;
    for (let i = 0; i < 80; i++) once(`function ${i}`);
    expect(tf.memory().numTensors).toBe(before);
    const { compiled } = programs;
    once('function 79');
    expect(programs.compiled).toBe(compiled);
    once('first');
    expect(programs.compiled).toBe(backend === 'tensorflow' ? compiled + 1 : 0);
    programs.dispose();
  });

  it.runIf(backend === 'tensorflow')('computes nothing while it records', () => {
    const programs = new Programs();
    const backend = nativeBackend()!;
    const { binding } = backend;
    const x = tf.ones([4]);
    const ops: string[] = [];
    const executeOp: Binding['executeOp'] = (...call) => {
      ops.push(call[0]);
      return binding.executeOp(...call);
    };
    backend.binding = Object.create(binding, { executeOp: { value: executeOp } }) as Binding;
    tf.dispose(programs.run('many', [x], [], () => ({ y: tf.sum(tf.exp(tf.mul(x, 2))) })));
    backend.binding = binding;
    expect(ops).toEqual([expect.stringMatching(/^plumbline_\d+$/)]);
    programs.dispose();
  });

  it.runIf(backend === 'tensorflow')('refuses a function whose result would be frozen at its first call', () => {
    const programs = new Programs();
    const [x, onHost] = [tf.ones([2]), tf.ones([2])];
    const onDevice = tf.add(x, 0);
    const parameter = makeParameter('p', () => tf.ones([2]));
    for (const other of [onHost, onDevice])
      expect(() => programs.run('leaky', [x], [], () => ({ sum: tf.add(x, other) }))).toThrow(
        'leaky reads a tensor that is not among its inputs.',
      );
    expect(() => programs.run('leaky', [x], [], () => ({ sum: tf.add(x, parameter.value()) }))).toThrow(
      'leaky reads a tensor that is not among its inputs.',
    );
    expect(() => programs.run('branching', [x], [], () => ({ y: tf.mul(x, tf.sum(x).dataSync()[0]!) }))).toThrow(
      'branching reads a value while it is being recorded.',
    );
    // Integers too, if the function computed them.
    const rounded = (): number => tf.cast(tf.sum(x), 'int32').dataSync()[0]!;
    expect(() => programs.run('rounding', [x], [], () => ({ y: tf.mul(x, rounded()) }))).toThrow(
      'rounding reads a value while it is being recorded.',
    );
    expect(() =>
      programs.run('disposing', [x], [], () => {
        x.dispose();
        return {};
      }),
    ).toThrow('disposing disposes a tensor that it has not made.');
    // A refusal leaves the backend unchanged.
    expect(Array.from(tf.add(onHost, onDevice).dataSync())).toEqual([2, 2]);
  });
};
const missing = isSetUp ? '' : ': skipped, for it is not set up here (npm run plumbline -- setup)';
describe.runIf(isSetUp)(`programs on tensorflow${missing}`, programsOn('tensorflow'));
describe('programs on wasm', programsOn('wasm'));
