import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SeriesDemand } from './series-demand';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('needs the course of a series while a chart draws it, and for a minute after', async () => {
  const demand = new SeriesDemand();
  const [first, second] = [demand.draw(['a', 'b']), demand.draw(['a'])];
  first();
  expect([demand.drawn, demand.courses]).toEqual([['a'], ['a', 'b']]);
  first();
  second();
  expect(demand.drawn).toEqual([]);
  await vi.advanceTimersByTimeAsync(59_000);
  const again = demand.draw(['a']);
  await vi.advanceTimersByTimeAsync(2000);
  expect(demand.courses).toEqual(['a']);
  again();
  await vi.advanceTimersByTimeAsync(61_000);
  expect(demand.courses).toEqual([]);
});

it('keeps a limited number of series out of sight up to date: those drawn last', () => {
  const demand = new SeriesDemand();
  for (let i = 0; i < 150; i++) demand.draw([`s${i}`])();
  expect(demand.courses).toEqual(Array.from({ length: 100 }, (_, i) => `s${i + 50}`));
});

it('knows by name and by group which series need last values only', () => {
  const demand = new SeriesDemand();
  const release = demand.showLast(['drift/*', 'train/loss']);
  demand.draw(['drift/a']);
  expect(['drift/a', 'drift/b', 'train/loss', 'train/lr'].map((name) => demand.isLastOnly(name))).toEqual([
    ...[false, true, true, false],
  ]);
  release();
  expect(demand.isLastOnly('drift/b')).toBe(false);
});

it('reports each change until it is closed', async () => {
  const demand = new SeriesDemand();
  let changes = 0;
  demand.onChange(() => changes++);
  const release = demand.draw(['a']);
  release();
  expect(changes).toBe(2);
  demand.close();
  await vi.advanceTimersByTimeAsync(100_000);
  expect(changes).toBe(2);
});
