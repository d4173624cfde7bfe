import { describe, expect, it } from 'vitest';
import type { WireSeries } from '@plumbline/shared/http';
import { SeriesBuffer } from './series-buffer';

const history = (seqs: number[], bucketSteps = 0): WireSeries => ({
  seqs,
  steps: seqs,
  values: seqs.map((seq) => seq * 10),
  bucketSteps,
});
const held = (buffer: SeriesBuffer): number[] => [...buffer.seqs.subarray(0, buffer.length)];
const gaps = (buffer: SeriesBuffer): number[] =>
  held(buffer).filter(
    (_, index) => index > 0 && buffer.steps[index]! - buffer.steps[index - 1]! > buffer.reach[index]!,
  );

describe('SeriesBuffer', () => {
  it('grows with live values and skips events that it has', () => {
    const buffer = new SeriesBuffer();
    for (let seq = 1; seq <= 1000; seq++) buffer.append(seq, seq, seq / 2);
    for (let seq = 900; seq <= 1001; seq++) buffer.append(seq, seq, -1);
    expect(buffer.length).toBe(1001);
    expect(buffer.values[999]).toBe(500);
    expect(buffer.lastValue).toBe(-1);
  });

  it('merges history before, between and after its values, each event once', () => {
    const buffer = new SeriesBuffer();
    buffer.merge(history([3, 4, 8]));
    buffer.append(9, 9, 90);
    buffer.merge(history([1, 2, 3, 5, 6, 7, 8, 9, 10]));
    expect(held(buffer)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect([...buffer.values.subarray(0, 10)]).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    expect(gaps(buffer)).toEqual([]);
  });

  it('keeps NaN and infinities sent as words', () => {
    const buffer = new SeriesBuffer();
    buffer.merge({ seqs: [1, 2], steps: [1, 2], values: ['NaN', '-Infinity'], bucketSteps: 0 });
    expect([...buffer.values.subarray(0, 2)]).toEqual([NaN, -Infinity]);
  });

  it('shows where values are missing, in history and live', () => {
    const buffer = new SeriesBuffer();
    buffer.merge(history([1, 2, 3, 7, 8]));
    buffer.append(9, 9, 9);
    buffer.append(12, 12, 12);
    expect(gaps(buffer)).toEqual([7, 12]);
  });

  it('does not take thinning for missing values, and shows the gap once finer history is merged', () => {
    const buffer = new SeriesBuffer();
    const thinned = Array.from({ length: 100 }, (_, index) => index * 100 + 1);
    buffer.merge(history(thinned, 250));
    expect(gaps(buffer)).toEqual([]);
    buffer.merge(history([...Array.from({ length: 60 }, (_, index) => 101 + index), 201]));
    expect(gaps(buffer)).toEqual([201]);
  });

  it('learns the rhythm of a trainer that reports every tenth step', () => {
    const buffer = new SeriesBuffer();
    for (const step of [10, 20, 30, 40, 70, 80]) buffer.append(step, step, 1);
    expect(gaps(buffer)).toEqual([70]);
  });

  it('uses the spacing of the data, whatever the series’ name and beginning', () => {
    const probes = new SeriesBuffer();
    probes.merge(history([0, 20, 40, 60, 100, 120]));
    expect(gaps(probes)).toEqual([100]);
    expect(probes.rhythm).toBe(20);
    // One value before a gap gives no rhythm; those after it do.
    const late = new SeriesBuffer();
    late.merge(history([1, 500, 501, 502, 503, 520]));
    expect(gaps(late)).toEqual([500, 520]);
  });

  it('takes a spacing that occurs twice in a row as the new rhythm, live and in history', () => {
    const steps = [10, 20, 30, 80, 130, 180];
    const [live, read] = [new SeriesBuffer(), new SeriesBuffer()];
    for (const step of steps) live.append(step, step, 1);
    read.merge(history(steps));
    expect([gaps(live), gaps(read)]).toEqual([[], []]);
  });

  it('shows a gap after thinned history, once live values come', () => {
    const buffer = new SeriesBuffer();
    buffer.merge(history([1, 101, 201, 301], 50));
    for (const step of [302, 303, 304, 310]) buffer.append(step, step, 1);
    expect(gaps(buffer)).toEqual([310]);
  });

  it('keeps the last values only', () => {
    const buffer = new SeriesBuffer();
    for (let step = 1; step <= 10; step++) buffer.append(step, step, step);
    buffer.keepLast(2);
    expect([held(buffer), buffer.lastValue]).toEqual([[9, 10], 10]);
    buffer.append(11, 11, 11);
    expect(held(buffer)).toEqual([9, 10, 11]);
    buffer.keepLast(0);
    expect([held(buffer), buffer.lastValue]).toEqual([[], undefined]);
  });
});
