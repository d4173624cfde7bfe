import * as tf from '@tensorflow/tfjs-core';
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

/** Queries from..to of all T, and the number of keys that they see. */
interface Block {
  from: number;
  to: number;
  keys: number;
}

/**
 * softmax(q k^T * scale + mask) v. Each K of H / K neighbouring heads share a key and value head (Ainslie et al. 2023);
 * keys are not repeated: a group's queries are rows of one product.
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
  const blocks = blocksOf(queries, positions, keep ? queries : (block ?? defaultBlock), causal);
  const [outer, group] = [batch * keyHeads, heads / keyHeads];

  /** The block's part of [outer, group, T, X] as [outer, group * n, X]. */
  const rows = (x: tf.Tensor, { from, to }: Block): tf.Tensor3D =>
    tf.reshape(cut(x, 2, from, to), [outer, group * (to - from), -1]);
  const seen = (x: tf.Tensor, { keys }: Block): tf.Tensor3D => cut(x, 1, 0, keys) as tf.Tensor3D;
  /** [outer, group * n, keys], masked. q is scaled. */
  const scoresOf = (q: tf.Tensor, k: tf.Tensor, at: Block, mask: tf.Tensor | undefined): tf.Tensor3D => {
    const { from, to, keys } = at;
    let scores: tf.Tensor = tf.matMul(rows(q, at), seen(k, at), false, true);
    const hides: tf.Tensor[] = [];
    if (mask) {
      const masked = mask.shape.at(-2) === 1 ? mask : cut(mask, mask.rank - 2, from, to);
      hides.push(cut(masked, mask.rank - 1, 0, keys));
    }
    if (causal && to - from > 1) hides.push(causalMask(positions - queries + from, to - from, keys));
    if (hides.length > 0) {
      scores = tf.reshape(scores, [batch, heads, to - from, keys]);
      for (const hide of hides) scores = tf.add(scores, hide);
    }
    return tf.reshape(scores, [outer, group * (to - from), keys]);
  };

  return withGradient(
    ([q, k, v], save) => {
      const grouped = tf.reshape(tf.mul(q!, scale), [outer, group, queries, size]);
      const keys = tf.reshape(k!, [outer, positions, size]);
      const values = tf.reshape(v!, [outer, positions, size]);
      const parts = blocks.map((at) =>
        tf.tidy((): [tf.Tensor, tf.Tensor] => {
          const scores = scoresOf(grouped, keys, at, mask);
          const unblocked = (x: tf.Tensor): tf.Tensor => tf.reshape(x, [outer, group, at.to - at.from, -1]);
          if (keep) {
            const shares = tf.softmax(scores);
            return [unblocked(tf.matMul(shares, seen(values, at))), shares];
          }
          const highest = tf.max(scores, -1, true);
          const exponentials = tf.exp(tf.sub(scores, highest));
          const sum = tf.sum(exponentials, -1, true);
          const mixed = tf.div(tf.matMul(exponentials, seen(values, at)), sum);
          return [unblocked(mixed), unblocked(tf.add(highest, tf.log(sum)))];
        }),
      );
      const value = joined(
        parts.map(([mixed]) => mixed),
        2,
      );
      // Either the softmax of the one block, or the logarithms of all sums.
      const norms = keep
        ? parts[0]![1]
        : joined(
            parts.map(([, sums]) => sums),
            2,
          );
      save([grouped, keys, values, value, norms, ...(mask ? [mask] : [])]);
      return {
        value: tf.reshape(value, [batch, heads, queries, size]),
        gradFunc: (dy, [q, k, v, value, norms, mask]) => {
          const dValue = tf.reshape(dy, [outer, group, queries, size]);
          // The softmax's gradient takes off sum(share * dShare) of each row, which is sum(output * dOutput).
          const along = tf.sum(tf.mul(dValue, value!), -1, true);
          const dQueries: tf.Tensor[] = [];
          let dKeys: tf.Tensor | undefined;
          let dValues: tf.Tensor | undefined;
          for (const at of blocks) {
            const [dq, dk, dv] = tf.tidy(() => {
              const shares = keep ? norms! : tf.exp(tf.sub(scoresOf(q!, k!, at, mask), rows(norms!, at)));
              const dRows = rows(dValue, at);
              const dShares = tf.matMul(dRows, seen(v!, at), false, true);
              const dScores = tf.mul(shares, tf.sub(dShares, rows(along, at)));
              const dQuery = tf.mul(tf.matMul(dScores, seen(k!, at)), scale);
              const sum = (so: tf.Tensor | undefined, now: tf.Tensor): tf.Tensor => {
                const padded = at.keys < positions ? tf.pad(now, [[0, 0], [0, positions - at.keys], [0, 0]]) : now; // prettier-ignore
                return so ? tf.add(so, padded) : padded;
              };
              return [
                tf.reshape(dQuery, [outer, group, at.to - at.from, size]),
                sum(dKeys, tf.matMul(dScores, rows(q!, at), true)),
                sum(dValues, tf.matMul(shares, dRows, true)),
              ];
            }) as [tf.Tensor, tf.Tensor, tf.Tensor];
            dQueries.push(dq);
            if (dKeys && dValues) tf.dispose([dKeys, dValues]);
            [dKeys, dValues] = [dk, dv];
          }
          return [
            tf.reshape(joined(dQueries, 2), [batch, heads, queries, size]),
            tf.reshape(dKeys!, [batch, keyHeads, positions, size]),
            tf.reshape(dValues!, [batch, keyHeads, positions, size]),
          ];
        },
      };
    },
    q,
    k,
    v,
  ) as tf.Tensor4D;
}

function blocksOf(queries: number, positions: number, size: number, causal: boolean): Block[] {
  const blocks: Block[] = [];
  for (let from = 0; from < queries; from += size) {
    const to = Math.min(queries, from + size);
    blocks.push({ from, to, keys: causal ? positions - queries + to : positions });
  }
  return blocks;
}

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

const joined = (parts: tf.Tensor[], axis: number): tf.Tensor => (parts.length > 1 ? tf.concat(parts, axis) : parts[0]!);
