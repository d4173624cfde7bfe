/*
 * Measures of the published code of arXiv 2510.08564 that differ from ours of the same name by intent. Its number-token
 * probe reads the model's own output, ours reads with the right words given; its layer contribution applies only the
 * head to a block's update, ours the norm too. test/golden/README.md defines both.
 */

const writtenNumbers = new Set(
  (
    'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen ' +
    'eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion'
  ).split(' '),
);
/** Digits, an ordinal of digits, or digits with one point or one comma between. */
const numeral = /^([0-9]+([.,][0-9]+)?|[0-9]+(st|nd|rd|th))$/;

/**
 * Whether a vocabulary entry is a number to the paper's probe. Unlike ours, it excludes written ordinals, trillion and
 * hyphens.
 */
export function isNumberTokenOfPaper(token: string): boolean {
  const word = token.replace(/^[ Ġ▁]+|[ Ġ▁]+$/g, '').toLowerCase();
  return numeral.test(word) || writtenNumbers.has(word);
}

/** Number-token bias of generated answers; each value is a mean over items. */
export interface WrittenNumberBias {
  /** Mean over the item's tokens of the probability of all number tokens. */
  mean: number;
  /** Mean over the item's tokens of the probability of the likeliest number token. */
  meanOfLargest: number;
  /** Probability of all number tokens at the item's token where it is highest. */
  meanOfMost: number;
}

/**
 * @param items for each generated answer, the natural log-probabilities at each of its tokens, [tokens, V]
 * @param numberIds at least one
 */
export function writtenNumberBias(
  items: readonly ArrayLike<number>[],
  vocabSize: number,
  numberIds: readonly number[],
): WrittenNumberBias {
  const each = items.map((item) => {
    const tokens = Array.from({ length: item.length / vocabSize }, (_, token) =>
      numberIds.map((id) => Math.exp(item[token * vocabSize + id]!)),
    );
    const masses = tokens.map(sum);
    return {
      mean: mean(masses),
      meanOfLargest: mean(tokens.map((probabilities) => Math.max(...probabilities))),
      meanOfMost: Math.max(...masses),
    };
  });
  return {
    mean: mean(each.map((item) => item.mean)),
    meanOfLargest: mean(each.map((item) => item.meanOfLargest)),
    meanOfMost: mean(each.map((item) => item.meanOfMost)),
  };
}

/**
 * The paper's layer contribution change: ||W_now u_now - W_base u_base|| over the vocabulary, mean over positions, with
 * u the block's update of the residual stream and W the output head; in logits.
 * @param base, now the block's update, [positions, width], and the head, [V, width], row by row
 */
export function paperContributionChange(
  base: { update: ArrayLike<number>; head: ArrayLike<number> },
  now: { update: ArrayLike<number>; head: ArrayLike<number> },
  width: number,
): number {
  const norms = Array.from({ length: base.update.length / width }, (_, position) => {
    let squares = 0;
    for (let row = 0; row < base.head.length; row += width) {
      let difference = 0;
      for (let at = 0; at < width; at++)
        difference +=
          now.head[row + at]! * now.update[position * width + at]! -
          base.head[row + at]! * base.update[position * width + at]!;
      squares += difference * difference;
    }
    return Math.sqrt(squares);
  });
  return mean(norms);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
