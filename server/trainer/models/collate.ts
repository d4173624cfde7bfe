import { rotaryAngles } from './layers/rotary.js';
import { noLabel, type Example, type HostValues } from './model.js';

/**
 * The next larger length of a few: multiples of 8 up to 64, then four in each doubling. Tensors of the same lengths run
 * the same compiled functions.
 * @param least the smallest step between two lengths
 */
export function bucket(length: number, least = 8): number {
  const step = Math.max(least, 2 ** (Math.ceil(Math.log2(Math.max(1, length))) - 3));
  return Math.max(1, Math.ceil(length / step)) * step;
}

export interface CollateOptions {
  /** Size of the vocabulary. */
  vocabulary: number;
  /** T; default: the bucket of the longest example */
  length?: number | undefined;
}

/** What all families make of a batch: see `HostInputs`. */
export interface CollatedTokens {
  ids: HostValues;
  read: HostValues;
  targets: HostValues;
  weights: HostValues;
}

/**
 * Ids padded on the right with 0, and the positions that predict an answer's tokens, padded with weight 0.
 * @throws Error naming the example that is empty, too long, badly labelled or has an id outside of the vocabulary
 */
export function collateTokens(
  examples: readonly Example[],
  { vocabulary, length = bucket(Math.max(...examples.map(({ ids }) => ids.length))) }: CollateOptions,
): CollatedTokens {
  const ids = new Int32Array(examples.length * length);
  const [read, targets]: [number[], number[]] = [[], []];
  examples.forEach((example, row) => {
    const refuse = (fault: string): never => {
      throw new Error(`Example ${row + 1} of the batch ${fault}.`);
    };
    const known = (id: number): boolean => id >= 0 && id < vocabulary;
    if (example.ids.length === 0) refuse('has no tokens');
    if (example.ids.length > length) refuse(`has ${example.ids.length} tokens; at most ${length} fit`);
    if (example.labels.length !== example.ids.length)
      refuse(`has ${example.ids.length} tokens and ${example.labels.length} labels`);
    const unknown = example.ids.find((id) => !known(id)) ?? example.labels.find((id) => id !== noLabel && !known(id));
    if (unknown !== undefined) refuse(`has the token ${unknown}; the model knows ${vocabulary} tokens`);
    ids.set(example.ids, row * length);
    // The first token has none before it to predict it.
    for (let at = 1; at < example.labels.length; at++)
      if (example.labels[at] !== noLabel) {
        read.push(row * length + at - 1);
        targets.push(example.labels[at]!);
      }
  });
  const padded = bucket(read.length);
  const integers = (values: readonly number[]): HostValues => {
    const data = new Int32Array(padded);
    data.set(values);
    return { shape: [padded], data };
  };
  return {
    ids: { shape: [examples.length, length], data: ids },
    read: integers(read),
    targets: integers(targets),
    weights: { shape: [padded], data: new Float32Array(padded).fill(1 / read.length, 0, read.length) },
  };
}

/**
 * Rotary angles of a batch, [B, T, head size].
 * @param positions of each axis: [B * T]
 */
export function collateAngles(
  batch: number,
  positions: readonly ArrayLike<number>[],
  frequencies: Float32Array,
  sections?: readonly number[],
): { cos: HostValues; sin: HostValues } {
  const { cos, sin } = rotaryAngles(positions, frequencies, sections);
  const shape = [batch, positions[0]!.length / batch, 2 * frequencies.length];
  return { cos: { shape, data: cos }, sin: { shape: [...shape], data: sin } };
}

/** Positions 0..length-1 of each of a batch of texts, for `collateAngles`. */
export const textPositions = (batch: number, length: number): Int32Array =>
  Int32Array.from({ length: batch * length }, (_, at) => at % length);
