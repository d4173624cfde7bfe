import * as tf from '@tensorflow/tfjs-core';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
// Imported first: the kernels of this file replace its own.
import '@tensorflow/tfjs-backend-wasm';

/*
 * Replacements for kernels of tfjs-backend-wasm (4.22) that are slow, or wrong, for training. Import this module for
 * its side effect before the backend starts.
 *
 * The original kernels are made for inference. Their fast path for products (XNNPACK with SIMD) covers only one matrix
 * times one matrix, neither of them transposed. All others, including most products of a gradient, take a loop at a
 * tenth of the speed or less. The fix is here and not in the model, which is independent of the backend: the other
 * backends multiply transposed operands directly and must not pay for copies.
 */

type Inputs = Record<string, tf.TensorInfo>;
interface Call {
  inputs: Inputs;
  attrs: tf.NamedAttrMap;
  backend: BackendWasm;
}
type Original = (inputs: Inputs, attrs: tf.NamedAttrMap) => tf.TensorInfo;

replace(tf.BatchMatMul, product);
replace(tf.Transpose, transpose);
replace(tf.SplitV, split);
replace(tf.Unpack, unstack);

function replace(
  kernelName: string,
  kernel: (call: Call, original: Original) => tf.TensorInfo | tf.TensorInfo[],
): void {
  const config = tf.getKernel(kernelName, 'wasm');
  tf.unregisterKernel(kernelName, 'wasm');
  tf.registerKernel({
    ...config,
    kernelFunc: (call) =>
      kernel(
        call as Call,
        (inputs, attrs) => config.kernelFunc({ inputs, attrs, backend: call.backend }) as tf.TensorInfo,
      ),
  });
}

/** A matrix product with fewer multiplications than this takes less time than the setup of the fast path. */
const fewMultiplications = 8192;

/** The shape of a product's right operand at its first use, by its data. */
const packedShapes = new WeakMap<object, string>();

/**
 * Transposes first, for a fraction of the product's time, and then takes the fast path, matrix by matrix.
 *
 * XNNPACK packs the right operand, and the original kernel looks up the packed copy by the operand's data only. The
 * same data in another shape, as after a reshape, would be multiplied in the first shape. Such an operand is copied.
 */
function product({ inputs, attrs, backend }: Call, original: Original): tf.TensorInfo {
  const { a, b } = inputs as { a: tf.TensorInfo; b: tf.TensorInfo };
  const { transposeA, transposeB } = attrs as { transposeA: boolean; transposeB: boolean };
  const batch = a.shape.slice(0, -2);
  const count = tf.util.sizeFromShape(batch);
  const [rows, inner] = [a.shape.at(transposeA ? -1 : -2)!, a.shape.at(transposeA ? -2 : -1)!];
  const columns = b.shape.at(transposeB ? -2 : -1)!;
  if (String(batch) !== String(b.shape.slice(0, -2))) return original(inputs, attrs);
  if (count !== 1 && rows * inner * columns < fewMultiplications) return original(inputs, attrs);

  const copies: tf.TensorInfo[] = [];
  const kept = (...made: tf.TensorInfo[]): tf.TensorInfo[] => (copies.push(...made), made);
  const transposed = (x: tf.TensorInfo): tf.TensorInfo => {
    const perm = [...batch.keys(), batch.length + 1, batch.length];
    const made = tf.getKernel(tf.Transpose, 'wasm').kernelFunc({ inputs: { x }, attrs: { perm }, backend });
    return kept(made as tf.TensorInfo)[0]!;
  };
  const multiply = (a: tf.TensorInfo, b: tf.TensorInfo): tf.TensorInfo =>
    original({ a, b }, { transposeA: false, transposeB: false });

  const left = transposeA ? transposed(a) : a;
  let right = transposeB ? transposed(b) : b;
  let out: tf.TensorInfo;
  if (count === 1) {
    const shape = String(right.shape.slice(-2));
    const fits = (packedShapes.get(right.dataId) ?? shape) === shape;
    if (!fits) [right] = kept(...parts(backend, right, 0, [right.shape[0]!])) as [tf.TensorInfo];
    packedShapes.set(right.dataId, shape);
    out = multiply(left, right);
  } else {
    out = backend.makeOutput([...batch, rows, columns], 'float32');
    const matrices = (x: tf.TensorInfo): tf.TensorInfo[] =>
      kept(...parts(backend, { ...x, shape: [count, ...x.shape.slice(-2)] }, 0, ones(count)));
    const rights = matrices(right);
    matrices(left).forEach((matrix, i) => {
      const one = multiply(matrix, rights[i]!);
      backend.typedArrayFromHeap(out).set(backend.typedArrayFromHeap(one), i * rows * columns);
      backend.disposeData(one.dataId);
    });
  }
  for (const { dataId } of copies) backend.disposeData(dataId);
  return out;
}

/** For more than four axes: the original loops and allocates for each number. */
function transpose({ inputs, attrs, backend }: Call, original: Original): tf.TensorInfo {
  const x = inputs['x']!;
  if (x.shape.length <= 4) return original(inputs, attrs);
  const perm = attrs['perm'] as number[];
  const out = backend.makeOutput(
    perm.map((axis) => x.shape[axis]!),
    x.dtype,
  );
  const steps = perm.map((axis) => tf.util.sizeFromShape(x.shape.slice(axis + 1)));
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  let written = 0;
  const copy = (axis: number, start: number): void => {
    const step = steps[axis]!;
    const end = start + step * out.shape[axis]!;
    if (axis < steps.length - 1) for (let at = start; at < end; at += step) copy(axis + 1, at);
    else for (let at = start; at < end; at += step) to[written++] = from[at]!;
  };
  copy(0, 0);
  return out;
}

/** The original copies the whole tensor again for each part. */
function split({ inputs, attrs, backend }: Call): tf.TensorInfo[] {
  const x = inputs['x']!;
  const axis = tf.util.parseAxisParam(attrs['axis'] as number, x.shape)[0]!;
  const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, attrs['numOrSizeSplits'] as number | number[], axis);
  return parts(backend, x, axis, sizes);
}

/** As `split`. */
function unstack({ inputs, attrs, backend }: Call): tf.TensorInfo[] {
  const x = inputs['value']!;
  const axis = tf.util.parseAxisParam(attrs['axis'] as number, x.shape)[0]!;
  return parts(backend, x, axis, ones(x.shape[axis]!)).map((part) => ({
    ...part,
    shape: part.shape.toSpliced(axis, 1),
  }));
}

const ones = (length: number): number[] => Array.from({ length }, () => 1);

/** Cuts along one axis into parts of the given sizes. */
function parts(backend: BackendWasm, x: tf.TensorInfo, axis: number, sizes: readonly number[]): tf.TensorInfo[] {
  // Allocates all outputs first, because views become invalid when the memory grows.
  const made = sizes.map((size) => backend.makeOutput(x.shape.with(axis, size), x.dtype));
  const from = backend.typedArrayFromHeap(x);
  const inner = tf.util.sizeFromShape(x.shape.slice(axis + 1));
  const outer = tf.util.sizeFromShape(x.shape.slice(0, axis));
  let start = 0;
  made.forEach((part, i) => {
    const to = backend.typedArrayFromHeap(part);
    const length = sizes[i]! * inner;
    for (let row = 0; row < outer; row++) {
      const at = start + row * x.shape[axis]! * inner;
      to.set(from.subarray(at, at + length), row * length);
    }
    start += length;
  });
  return made;
}
