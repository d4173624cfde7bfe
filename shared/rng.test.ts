import { describe, expect, it } from 'vitest';
import { Rng } from './rng.js';

describe('Rng', () => {
  it('continues from its state', () => {
    const rng = new Rng(3);
    for (let i = 0; i < 10; i++) rng.uniform();
    const copy = Rng.fromState(rng.state);
    expect(Array.from({ length: 50 }, () => copy.normal())).toEqual(Array.from({ length: 50 }, () => rng.normal()));
  });
  it('is xoshiro128**: the state (1, 2, 3, 4) first gives 11520, then 0, as the reference code', () => {
    const rng = Rng.fromState([1, 2, 3, 4]);
    expect([rng.uniform() * 2 ** 32, rng.uniform() * 2 ** 32]).toEqual([11520, 0]);
  });
  it('has the moments of its distributions', () => {
    const rng = new Rng(1);
    const draws = Array.from({ length: 20_000 }, () => rng.normal());
    const mean = draws.reduce((a, b) => a + b) / draws.length;
    const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / draws.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
    const counts = [0, 0, 0];
    for (let i = 0; i < 30_000; i++) counts[rng.integer(3)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });
  it('shuffles without losing anything, and leaves the original', () => {
    const items = [1, 2, 3, 4, 5];
    const order = new Rng(2).shuffled(items);
    expect([...order].sort()).toEqual(items);
    expect(items).toEqual([1, 2, 3, 4, 5]);
  });
  it('refuses a state that would only ever give 0', () => expect(() => Rng.fromState([0, 0, 0, 0])).toThrow());
});
