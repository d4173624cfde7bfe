import { describe, expect, it } from 'vitest';
import { groupDrift } from './weight-drift.js';

describe('weight drift', () => {
  it('is ||w - w0|| / ||w0|| over all parameters of a group: sqrt(9 + 16) / sqrt(9 + 16 + 0)', () => {
    const drift = groupDrift(
      [3, 4, 0, 1],
      [6, 4, 4, 1],
      [
        { group: 'a', size: 2 },
        { group: 'a', size: 1 },
        { group: 'b', size: 1 },
      ],
    );
    expect(drift.get('a')).toBeCloseTo(1, 12);
    expect(drift.get('b')).toBe(0);
  });
  it('refuses vectors whose length differs from the parameters’', () => {
    expect(() => groupDrift([1], [1, 2], [{ group: 'a', size: 1 }])).toThrow(/1 values/);
  });
});
