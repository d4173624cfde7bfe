import * as tf from '@tensorflow/tfjs-core';
import { runAfter } from '../../runtime/function-recorder.js';
import { withGradient } from '../../runtime/with-gradient.js';

export interface AttentionOptions {
  /** Each query sees the keys up to its own position, where the last query is at the last key. */
  causal?: boolean;
  /** Added to the scores, 0 or -1e9: [T, S], or [B, 1, T, S] for each example. T may be 1. */
  mask?: tf.Tensor;
  /** Default: 1 / sqrt(D) */
  scale?: number;
  /** Queries at a time; default: all of them where the scores are few. */
  block?: number;
}

/** Up to so many scores (16 MiB) are kept for the backward pass; more are computed again, block by block. */
const keptScores = 2 ** 22;
const defaultBlock = 256;
/** A score that no softmax notices. */
const hidden = -1e9;

/**
 * softmax(q k^T * scale + mask) v. Each H / K neighbouring heads share a key and value head (Ainslie et al. 2023); keys
 * are not repeated: a group's queries are rows of one product.
 *
 * With many scores it takes the queries in blocks and keeps only the output and the logarithm of each softmax's sum;
 * the backward pass computes the scores again (Dao 2023, FlashAttention-2). Causal blocks skip the keys ahead of them.
 * @param q [B, H, T, D] @param k [B, K, S, D] @param v [B, K, S, D], H a multiple of K @returns [B, H, T, D]
 */
export function attention(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  v: tf.Tensor4D,
  { causal = false, mask, scale = 1 / Math.sqrt(q.shape[3]), block }: AttentionOptions = {},
): tf.Tensor4D {
  const [batch, heads, queries, size] = q.shape;
  const [, keyHeads, positions] = k.shape;
  const keep = block === undefined && batch * heads * queries * positions <= keptScores;
  const blocks = new Blocks(q.shape, k.shape, causal, keep ? queries : (block ?? defaultBlock));
  return withGradient(
    ([q, k, v], save) => {
      const grouped = tf.reshape(tf.mul(q!, scale), [batch * keyHeads, heads / keyHeads, queries, size]);
      const keys = tf.reshape(k!, [batch * keyHeads, positions, size]);
      const values = tf.reshape(v!, [batch * keyHeads, positions, size]);
      const { value, norms } = keep ? blocks.whole(grouped, keys, values, mask) : blocks.parts(grouped, keys, values, mask); // prettier-ignore
      save([grouped, keys, values, value, norms, ...(mask ? [mask] : [])]);
      return {
        value: tf.reshape(value, [batch, heads, queries, size]),
        gradFunc: (dy, [q, k, v, value, norms, mask]) => {
          const dValue = tf.reshape(dy, value!.shape);
          // The softmax's gradient takes off sum(share * dShare) of each row, which is sum(output * dOutput).
          const along = tf.sum(tf.mul(dValue, value!), -1, true);
          const shares = (at: Block): tf.Tensor =>
            keep ? norms! : tf.exp(tf.sub(blocks.scores(q!, k!, at, mask), blocks.rows(norms!, at)));
          const [dQueries, dKeys, dValues] = blocks.gradients(q!, k!, v!, dValue, along, shares);
          return [
            tf.reshape(tf.mul(dQueries, scale), [batch, heads, queries, size]),
            tf.reshape(dKeys, [batch, keyHeads, positions, size]),
            tf.reshape(dValues, [batch, keyHeads, positions, size]),
          ];
        },
      };
    },
    q,
    k,
    v,
  ) as tf.Tensor4D;
}

/** Queries from..to of all T, and the number of keys that they see. */
interface Block {
  from: number;
  to: number;
  keys: number;
}

/** The blocks of one attention. Queries are [B * K, G, T, D] and scaled; keys and values are [B * K, S, D]. */
class Blocks {
  readonly #batch: number;
  readonly #heads: number;
  readonly #outer: number;
  readonly #group: number;
  readonly #queries: number;
  readonly #positions: number;
  readonly #blocks: Block[] = [];

  constructor(
    [batch, heads, queries]: number[],
    [, keyHeads, positions]: number[],
    private readonly causal: boolean,
    size: number,
  ) {
    [this.#batch, this.#heads, this.#queries, this.#positions] = [batch!, heads!, queries!, positions!];
    [this.#outer, this.#group] = [batch! * keyHeads!, heads! / keyHeads!];
    for (let from = 0; from < queries!; from += size) {
      const to = Math.min(queries!, from + size);
      this.#blocks.push({ from, to, keys: causal ? positions! - queries! + to : positions! });
    }
  }

  /** The output [B * K, G, T, D] and the softmax of the only block. */
  whole(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, mask?: tf.Tensor): { value: tf.Tensor; norms: tf.Tensor } {
    const at = this.#blocks[0]!;
    const norms = tf.softmax(this.scores(q, k, at, mask));
    return { value: this.#grouped(tf.matMul(norms, seen(v, at)), at), norms };
  }

  /** The output [B * K, G, T, D] and the logarithms of the softmax's sums [B * K, G, T, 1]. */
  parts(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, mask?: tf.Tensor): { value: tf.Tensor; norms: tf.Tensor } {
    const parts = this.#oneByOne([], (at) => {
      const scores = this.scores(q, k, at, mask);
      const highest = tf.max(scores, -1, true);
      const exponentials = tf.exp(tf.sub(scores, highest));
      const sum = tf.sum(exponentials, -1, true);
      const mixed = tf.div(tf.matMul(exponentials, seen(v, at)), sum);
      return [this.#grouped(mixed, at), this.#grouped(tf.add(highest, tf.log(sum)), at)];
    });
    return { value: joined(parts, 0), norms: joined(parts, 1) };
  }

  /**
   * @param dValue as the output @param along [B * K, G, T, 1] @param shares of a block, [B * K, G * n, keys]
   * @returns gradients of scaled queries, of keys and of values
   */
  gradients(
    q: tf.Tensor,
    k: tf.Tensor,
    v: tf.Tensor,
    dValue: tf.Tensor,
    along: tf.Tensor,
    shares: (at: Block) => tf.Tensor,
  ): [dQueries: tf.Tensor, dKeys: tf.Tensor, dValues: tf.Tensor] {
    /** Adds up what the blocks give to the keys that they see. */
    const sum = (so: tf.Tensor | undefined, now: tf.Tensor, { keys }: Block): tf.Tensor => {
      const padded = keys < this.#positions ? tf.pad(now, [[0, 0], [0, this.#positions - keys], [0, 0]]) : now; // prettier-ignore
      return so ? tf.add(so, padded) : padded;
    };
    let sums: [dKeys?: tf.Tensor, dValues?: tf.Tensor] = [];
    // A compiled function would compute the scores in the forward pass, where queries and keys are there already.
    const parts = this.#oneByOne([dValue], (at) => {
      const share = shares(at);
      const dRows = this.rows(dValue, at);
      const dScores = tf.mul(share, tf.sub(tf.matMul(dRows, seen(v, at), false, true), this.rows(along, at)));
      const dKeys = sum(sums[0], tf.matMul(dScores, this.rows(q, at), true), at);
      const dValues = sum(sums[1], tf.matMul(share, dRows, true), at);
      tf.dispose(sums);
      sums = [dKeys, dValues];
      return [this.#grouped(tf.matMul(dScores, seen(k, at)), at), dKeys, dValues];
    });
    return [joined(parts, 0), sums[0]!, sums[1]!];
  }

  /** The masked scores of a block, [B * K, G * n, keys]. */
  scores(q: tf.Tensor, k: tf.Tensor, at: Block, mask: tf.Tensor | undefined): tf.Tensor {
    const { from, to, keys } = at;
    const scores = tf.matMul(this.rows(q, at), seen(k, at), false, true);
    const hides: tf.Tensor[] = [];
    if (mask) {
      const masked = mask.shape.at(-2) === 1 ? mask : cut(mask, mask.rank - 2, from, to);
      hides.push(cut(masked, mask.rank - 1, 0, keys));
    }
    if (this.causal && to - from > 1) hides.push(causalMask(this.#positions - this.#queries + from, to - from, keys));
    if (hides.length === 0) return scores;
    const byHead: tf.Tensor = tf.reshape(scores, [this.#batch, this.#heads, to - from, keys]);
    return tf.reshape(
      hides.reduce((sum, hide) => tf.add(sum, hide), byHead),
      scores.shape,
    );
  }

  /** The block's part of [B * K, G, T, X] as [B * K, G * n, X]. */
  rows(x: tf.Tensor, { from, to }: Block): tf.Tensor {
    return tf.reshape(cut(x, 2, from, to), [this.#outer, this.#group * (to - from), -1]);
  }

  #grouped(x: tf.Tensor, { from, to }: Block): tf.Tensor {
    return tf.reshape(x, [this.#outer, this.#group, to - from, -1]);
  }

  /** Makes the tensors of one block after those of the other: a compiled function would hold all scores at once. */
  #oneByOne(first: tf.Tensor[], make: (at: Block) => tf.Tensor[]): tf.Tensor[][] {
    const made: tf.Tensor[][] = [];
    for (const at of this.#blocks) {
      const before = made.at(-1) ?? first;
      const next = (): tf.Tensor[] => tf.tidy(() => make(at));
      made.push(before.length > 0 ? runAfter(before, next) : next());
    }
    return made;
  }
}

/** The part of keys or values [B * K, S, D] that a block sees. */
const seen = (x: tf.Tensor, { keys }: Block): tf.Tensor => cut(x, 1, 0, keys);

/** [n, keys]: hides the keys ahead of each of the queries at positions first..first + n - 1. */
function causalMask(first: number, queries: number, keys: number): tf.Tensor2D {
  const query = tf.reshape(tf.range(first, first + queries, 1, 'int32'), [queries, 1]);
  const ahead = tf.greater(tf.reshape(tf.range(0, keys, 1, 'int32'), [1, keys]), query);
  return tf.mul(tf.cast(ahead, 'float32'), hidden);
}

/** x from..to along one axis; x itself where that is all of it. */
function cut(x: tf.Tensor, axis: number, from: number, to: number): tf.Tensor {
  if (x.shape[axis] === to - from) return x;
  const begin = x.shape.map((_, i) => (i === axis ? from : 0));
  return tf.slice(
    x,
    begin,
    x.shape.map((length, i) => (i === axis ? to - from : length)),
  );
}

/** One of the tensors of each block, along the queries. */
function joined(parts: readonly tf.Tensor[][], which: number): tf.Tensor {
  const tensors = parts.map((part) => part[which]!);
  return tensors.length > 1 ? tf.concat(tensors, 2) : tensors[0]!;
}
