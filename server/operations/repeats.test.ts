import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Repeats } from './repeats.js';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('a repeated line', () => {
  it('is written once, then once a minute with the number of repetitions, and as new after a quiet minute', () => {
    const repeats = new Repeats();
    const lines: object[] = [];
    const write = (count: number) => {
      for (let i = 0; i < count; i++) repeats.write('refused', (times) => lines.push(times));
    };
    write(500);
    expect(lines).toEqual([{}]);
    vi.advanceTimersByTime(60_000);
    write(3);
    vi.advanceTimersByTime(60_000);
    expect(lines).toEqual([{}, { times: 499 }, { times: 3 }]);
    vi.advanceTimersByTime(120_000);
    write(2);
    expect(lines).toEqual([{}, { times: 499 }, { times: 3 }, {}]);
  });

  it('of a new kind is counted with others where there are too many kinds', () => {
    const repeats = new Repeats();
    const lines: string[] = [];
    for (let i = 0; i < 5000; i++) repeats.write(`kind ${i}`, () => lines.push(`kind ${i}`));
    expect(lines).toHaveLength(1001);
    expect(lines.at(-1)).toBe('kind 1000');
  });
});
