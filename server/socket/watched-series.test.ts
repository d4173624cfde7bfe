import { describe, expect, it, vi } from 'vitest';
import { wallTimeSeries } from '@plumbline/shared/metric';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import { SeriesFilter } from '../run/series-filter.js';
import { WatchedSeries } from './watched-series.js';

const step = (seq: number, metrics: Record<string, number>): MetricEvent => ({
  ...{ type: 'step_completed', seq, step: seq, stage: 0, wallTimeMs: seq, metrics },
});
const watch = (watched: WatchedSeries, ...series: string[]): string => {
  const filter = new SeriesFilter(series);
  watched.add(filter, false);
  return filter.key;
};

describe('the series of a run that are watched', () => {
  it('are those with the names and the beginnings, also of series that come later', () => {
    const watched = new WatchedSeries();
    const key = watch(watched, 'train/loss', 'drift/*');
    const first = watched.selector([step(1, { 'train/loss': 1, other: 2 }), step(2, { other: 2 })]);
    expect(first(key).events).toMatchObject([{ seq: 1, metrics: { 'train/loss': 1 } }]);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`new/${i}`, i]));
    const later = watched.selector([step(3, { ...many, 'drift/a': 3, other: 2 })]);
    expect(later(key).events.map(({ metrics }) => Object.entries(metrics))).toEqual([[['drift/a', 3]]]);
  });

  it('hold events without values for those who watch wall times, and everything for those who watch all', () => {
    const watched = new WatchedSeries();
    const [times, all] = [watch(watched, wallTimeSeries), watch(watched, '*', 'train/loss', 'drift/*')];
    const events = [step(1, { a: 1 })];
    const select = watched.selector(events);
    expect(select(times).events).toEqual([{ ...events[0], metrics: {} }]);
    expect(select(all).events).toEqual(events);
    expect(all).toBe(new SeriesFilter(['*']).key);
  });

  it('are compared with a name once, however often it comes and however many watch them', () => {
    const watched = new WatchedSeries();
    const has = vi.spyOn(SeriesFilter.prototype, 'has');
    const key = watch(watched, 'a*', 'b');
    watch(watched, 'b', 'a*');
    for (let seq = 1; seq <= 50; seq++) watched.selector([step(seq, { aa: 1, b: 2, c: 3 })])(key);
    const asked = has.mock.calls.map(([name]) => name).filter((name) => name !== wallTimeSeries);
    has.mockRestore();
    expect(asked).toEqual(['aa', 'b', 'c']);
  });

  it('are nobody’s when the last has left', () => {
    const watched = new WatchedSeries();
    const key = watch(watched, 'a');
    watch(watched, 'a');
    watched.remove(key, false);
    expect(watched.isEmpty).toBe(false);
    watched.remove(key, false);
    expect(watched.isEmpty).toBe(true);
  });

  it('are looked up anew for a run that is made again under the id', () => {
    const watched = new WatchedSeries();
    const key = watch(watched, 'a');
    watched.selector([step(1, { a: 1 })])(key);
    watched.forgetNames();
    expect(watched.selector([step(1, { b: 2, a: 3 })])(key).events).toMatchObject([{ metrics: { a: 3 } }]);
  });
});
