import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { refresh } from './refresh';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const after = <T>(ms: number, value: T) => new Promise<T>((resolve) => setTimeout(() => resolve(value), ms));

it('applies each answer of a hub that is slower than the pause', async () => {
  const got: number[] = [];
  let asked = 0;
  const end = refresh(
    () => after(5000, ++asked),
    (answer) => got.push(answer),
    3000,
    false,
  );
  await vi.advanceTimersByTimeAsync(25_000);
  expect(got).toEqual([1, 2, 3]);
  end();
  await vi.advanceTimersByTimeAsync(25_000);
  expect(got).toEqual([1, 2, 3]);
});
it('continues after a failure, and asks once if one answer is enough', async () => {
  const got: number[] = [];
  let asked = 0;
  const fetch = (): Promise<number> => (++asked === 1 ? Promise.reject(new Error('away')) : Promise.resolve(asked));
  const end = refresh(fetch, (answer) => got.push(answer), 3000, false);
  await vi.advanceTimersByTimeAsync(3500);
  expect(got).toEqual([2]);
  end();
  refresh(fetch, (answer) => got.push(answer), 3000, true);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(got).toEqual([2, 3]);
});
it('tries again until it has the one answer that is enough', async () => {
  const got: number[] = [];
  let asked = 0;
  const fetch = (): Promise<number> => (++asked < 3 ? Promise.reject(new Error('away')) : Promise.resolve(asked));
  refresh(fetch, (answer) => got.push(answer), 3000, true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([got, asked]).toEqual([[3], 3]);
});
