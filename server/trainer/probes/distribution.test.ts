import { describe, expect, it } from 'vitest';
import { entropy, jsDivergence, klDivergence, tokenMass, topOneAgreement } from './distribution.js';

const log = (...probabilities: number[]): number[] => probabilities.map((p) => Math.log(p));

describe('measures of distribution shift, worked by hand', () => {
  it('KL((1/2, 1/2) || (1/4, 3/4)) = 1/2 ln 2 + 1/2 ln 2/3 = 1/2 ln 4/3', () => {
    expect(klDivergence(log(0.5, 0.5), log(0.25, 0.75), 2)).toBeCloseTo(0.5 * Math.log(4 / 3), 12);
  });
  it('KL is not symmetric: the other way is 1/4 ln 1/2 + 3/4 ln 3/2', () => {
    const other = 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5);
    expect(klDivergence(log(0.25, 0.75), log(0.5, 0.5), 2)).toBeCloseTo(other, 12);
  });
  it('KL counts nothing where the base has no mass, and is infinite where only the base has', () => {
    expect(klDivergence(log(1, 0), log(0.5, 0.5), 2)).toBeCloseTo(Math.LN2, 12);
    expect(klDivergence(log(0.5, 0.5), log(1, 0), 2)).toBe(Infinity);
  });
  it('JS of disjoint distributions is ln 2, of equal ones 0, and it is symmetric', () => {
    expect(jsDivergence(log(1, 0), log(0, 1), 2)).toBeCloseTo(Math.LN2, 12);
    expect(jsDivergence(log(0.3, 0.7), log(0.3, 0.7), 2)).toBeCloseTo(0, 12);
    const [a, b] = [log(0.1, 0.9), log(0.6, 0.4)];
    expect(jsDivergence(a, b, 2)).toBeCloseTo(jsDivergence(b, a, 2), 12);
  });
  it('JS((1/2, 1/2), (1, 0)) = 3/4 ln 4/3 with the middle (3/4, 1/4)', () => {
    // 1/2 [1/2 ln 2/3 + 1/2 ln 2] + 1/2 ln 4/3
    const expected = 0.25 * Math.log(2 / 3) + 0.25 * Math.log(2) + 0.5 * Math.log(4 / 3);
    expect(jsDivergence(log(0.5, 0.5), log(1, 0), 2)).toBeCloseTo(expected, 12);
    expect(expected).toBeCloseTo(0.75 * Math.log(4 / 3), 12);
  });
  it('entropy of four equal tokens is ln 4, of a certain one 0', () => {
    expect(entropy(log(0.25, 0.25, 0.25, 0.25), 4)).toBeCloseTo(Math.log(4), 12);
    expect(entropy(log(1, 0), 2)).toBe(0);
  });
  it('top-1 agreement counts positions, in percent', () => {
    const base = [...log(0.9, 0.1), ...log(0.2, 0.8)];
    expect(topOneAgreement(base, [...log(0.6, 0.4), ...log(0.7, 0.3)], 2)).toBe(50);
  });
  it('token mass adds probabilities and averages positions: (0.3 + 0.1 + 0) / 2 positions', () => {
    const rows = [...log(0.3, 0.1, 0.6), ...log(0, 0, 1)];
    expect(tokenMass(rows, 3, [0, 1])).toBeCloseTo(0.2, 12);
  });
  it('a NaN is not hidden', () => expect(klDivergence(log(0.5, 0.5), [NaN, 0], 2)).toBeNaN());
});
