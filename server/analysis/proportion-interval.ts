/** 97.5 % quantile of the standard normal distribution: intervals contain the true value in 95 of 100 cases. */
const z = 1.959963984540054;
export const intervalLevel = 0.95;

/** Ends of an interval, as shares 0..1 or as a difference of shares -1..1. */
export interface Ends {
  low: number;
  high: number;
}

/** Wilson's score interval of a share (Wilson 1927). @param right of `asked`, which is 1 or more */
export function wilsonInterval(right: number, asked: number): Ends {
  const share = right / asked;
  const scale = 1 + z ** 2 / asked;
  const centre = (share + z ** 2 / (2 * asked)) / scale;
  const reach = (z / scale) * Math.sqrt((share * (1 - share)) / asked + z ** 2 / (4 * asked ** 2));
  // Rounding may exceed the ends slightly.
  return { low: Math.max(0, centre - reach), high: Math.min(1, centre + reach) };
}

/** Counts of the paired answers of two models to the same questions. */
export interface Pairs {
  bothRight: number;
  /** Right now, wrong for the other model. */
  gained: number;
  /** Wrong now, right for the other model. */
  lost: number;
  bothWrong: number;
}

/**
 * Interval of the difference of two shares that were measured on the same questions: method 10 of Newcombe, Statistics
 * in Medicine 17 (1998) 2635-2650, which combines the two Wilson intervals by the correlation of the answers.
 * @param pairs at least one
 */
export function pairedDifferenceInterval({ bothRight, gained, lost, bothWrong }: Pairs): Ends {
  const asked = bothRight + gained + lost + bothWrong;
  const [now, other] = [bothRight + gained, bothRight + lost];
  const difference = (gained - lost) / asked;
  const [ofNow, ofOther] = [wilsonInterval(now, asked), wilsonInterval(other, asked)];
  const correlation = phi({ bothRight, gained, lost, bothWrong });
  const reach = (of: number, against: number): number =>
    Math.sqrt(Math.max(0, of ** 2 - 2 * correlation * of * against + against ** 2));
  return {
    low: difference - reach(now / asked - ofNow.low, ofOther.high - other / asked),
    high: difference + reach(ofNow.high - now / asked, other / asked - ofOther.low),
  };
}

/** Correlation of right and wrong between the two, with the continuity correction of the method. */
function phi({ bothRight, gained, lost, bothWrong }: Pairs): number {
  const asked = bothRight + gained + lost + bothWrong;
  const product = (bothRight + gained) * (lost + bothWrong) * (bothRight + lost) * (gained + bothWrong);
  if (product === 0) return 0;
  const together = bothRight * bothWrong - gained * lost;
  return (together > 0 ? Math.max(together - asked / 2, 0) : together) / Math.sqrt(product);
}
