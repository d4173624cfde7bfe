import { describe, expect, it } from 'vitest';
import { atTarget, commonTarget } from './equal-target.js';

const curve = (...targets: number[]) =>
  targets.map((target, i) => ({ step: i * 10, target, heldOut: 90 - i * 4, numberTokens: i / 10, kl: i }));

describe('curves at equal target accuracy', () => {
  it('meet at the lowest of their peaks, regardless of a late drop', () =>
    expect(commonTarget([curve(0, 60, 50), curve(0, 20, 40)])).toBe(40));
  it('are interpolated between probes: 40 % is halfway from 20 to 60', () => {
    const { numberTokens, ...others } = atTarget(curve(0, 20, 60), 40);
    expect(others).toEqual({ step: 15, target: 40, heldOut: 84, kl: 1.5 });
    expect(numberTokens).toBeCloseTo(0.15, 12);
  });
  it('are read where they first reach it, even if they fall below it again', () =>
    expect(atTarget(curve(0, 50, 30, 70), 50).step).toBe(10));
  it('are read at the base model if it reaches it', () => expect(atTarget(curve(20, 10, 30), 20).step).toBe(0));
  it('are refused if they never reach it', () => expect(() => atTarget(curve(0, 10), 40)).toThrow(/never/));
});
