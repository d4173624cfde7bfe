/*
 * Measures of the shift of an output distribution. Distributions are rows of natural log-probabilities over the
 * vocabulary, [positions, V] row by row; the base model's come first. All sums are in double precision. Definitions:
 * the distribution shift and the counting-bias probe of arXiv 2510.08564.
 */

/** Kullback-Leibler divergence KL(base || now) in nats, mean over positions; 0 for equal ones, never negative. */
export function klDivergence(base: ArrayLike<number>, now: ArrayLike<number>, vocabSize: number): number {
  return meanOverRows(base, vocabSize, (from, to) => {
    let sum = 0;
    for (let i = from; i < to; i++) {
      const p = Math.exp(base[i]!);
      // 0 * log 0 is 0 here; floating point would make it NaN. Other NaNs stay NaN.
      if (p !== 0) sum += p * (base[i]! - now[i]!);
    }
    return Math.max(0, sum);
  });
}

/** Jensen-Shannon divergence in nats, mean over positions; between 0 and ln 2. */
export function jsDivergence(base: ArrayLike<number>, now: ArrayLike<number>, vocabSize: number): number {
  return meanOverRows(base, vocabSize, (from, to) => {
    let sum = 0;
    for (let i = from; i < to; i++) {
      const p = Math.exp(base[i]!);
      const q = Math.exp(now[i]!);
      // Half of the smallest representable probability would be 0.
      const logMiddle = Math.log(p + q) - Math.LN2;
      if (p !== 0) sum += 0.5 * p * (base[i]! - logMiddle);
      if (q !== 0) sum += 0.5 * q * (now[i]! - logMiddle);
    }
    return Math.max(0, sum);
  });
}

/** Shannon entropy in nats, mean over positions. */
export function entropy(now: ArrayLike<number>, vocabSize: number): number {
  return meanOverRows(now, vocabSize, (from, to) => {
    let sum = 0;
    for (let i = from; i < to; i++) {
      const p = Math.exp(now[i]!);
      if (p !== 0) sum -= p * now[i]!;
    }
    return sum;
  });
}

/**
 * Percentage of positions whose most likely token is still the base model's; the first counts among equally likely
 * ones.
 */
export function topOneAgreement(base: ArrayLike<number>, now: ArrayLike<number>, vocabSize: number): number {
  return meanOverRows(base, vocabSize, (from, to) => {
    const [before, after] = [highest(base, from, to), highest(now, from, to)];
    return Number.isNaN(before + after) ? NaN : before === after ? 100 : 0;
  });
}

/** Probability mass on the given tokens, mean over positions, 0..1: number-token bias when they are the number tokens. */
export function tokenMass(now: ArrayLike<number>, vocabSize: number, tokenIds: readonly number[]): number {
  return meanOverRows(now, vocabSize, (from) => tokenIds.reduce((sum, id) => sum + Math.exp(now[from + id]!), 0));
}

/** The index of the largest value; NaN if any value is NaN. */
function highest(row: ArrayLike<number>, from: number, to: number): number {
  let best = from;
  for (let i = from; i < to; i++) {
    if (Number.isNaN(row[i]!)) return NaN;
    if (row[i]! > row[best]!) best = i;
  }
  return best;
}

/** The mean over rows; NaN without rows or if any value is NaN. */
function meanOverRows(
  rows: ArrayLike<number>,
  vocabSize: number,
  measure: (from: number, to: number) => number,
): number {
  let sum = 0;
  for (let from = 0; from < rows.length; from += vocabSize) sum += measure(from, from + vocabSize);
  return sum / (rows.length / vocabSize);
}
