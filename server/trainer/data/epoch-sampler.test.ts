import { expect, it } from 'vitest';
import { EpochSampler } from './epoch-sampler.js';

const draw = (sampler: EpochSampler, count: number): number[] => Array.from({ length: count }, () => sampler.next());

it('draws every example once an epoch, in another order each epoch and for each seed', () => {
  const all = Array.from({ length: 50 }, (_, index) => index);
  const orders = [1, 2, 3].flatMap((seed) => {
    const sampler = new EpochSampler(50, seed);
    return [draw(sampler, 50), draw(sampler, 50)];
  });
  for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual(all);
  expect(new Set(orders.map(String)).size).toBe(6);
});

it('goes on at exactly the next example from any position', () => {
  const whole = draw(new EpochSampler(7, 5), 30);
  const first = new EpochSampler(7, 5);
  for (let drawn = 0; drawn < 30; drawn++) {
    const rest = new EpochSampler(7, 5, first.position);
    expect(draw(rest, 30 - drawn)).toEqual(whole.slice(drawn));
    first.next();
  }
});

it('repeats for a seed, and spreads examples evenly over the places of an epoch', () => {
  expect(draw(new EpochSampler(9, 4), 90)).toEqual(draw(new EpochSampler(9, 4), 90));
  // The first example of 4,000 epochs of 4: each 1,000 times, within five standard deviations of 27.
  const sampler = new EpochSampler(4, 11);
  const first = Array.from({ length: 4000 }, () => draw(sampler, 4)[0]!);
  for (const index of [0, 1, 2, 3])
    expect(Math.abs(first.filter((each) => each === index).length - 1000)).toBeLessThan(137);
});

it('refuses an empty data set, and a position beyond its end', () => {
  expect(() => new EpochSampler(0, 1)).toThrow('There is no example to draw.');
  expect(() => new EpochSampler(5, 1, { epoch: 2, drawn: 5 })).toThrow(/5 examples.*another data set/);
});
