import { describe, expect, it } from 'vitest';
import { learningRateAt } from './learning-rate.js';

describe('learningRateAt', () => {
  const cosine = { kind: 'cosine', peak: 1, warmupSteps: 10, steps: 110, floor: 0.1 } as const;
  it.each([
    [1, 0.1],
    [5, 0.5],
    [10, 1],
    [60, 0.55], // half way down: floor + (1 - floor) / 2
    [110, 0.1],
    [500, 0.1],
  ])('cosine at step %i is %f', (step, rate) => expect(learningRateAt(step, cosine)).toBeCloseTo(rate, 12));
  it('constant stays at the peak after warm-up', () => {
    expect(learningRateAt(5, { ...cosine, kind: 'constant' })).toBeCloseTo(0.5, 12);
    expect(learningRateAt(99, { ...cosine, kind: 'constant' })).toBe(1);
  });
  it('starts at the peak without warm-up, and allows a warm-up longer than the run', () => {
    expect(learningRateAt(1, { kind: 'constant', peak: 2, warmupSteps: 0, steps: 5 })).toBe(2);
    expect(learningRateAt(3, { kind: 'cosine', peak: 2, warmupSteps: 10, steps: 5 })).toBeCloseTo(0.6, 12);
  });
});
