import { describe, expect, it } from 'vitest';
import type { Columns } from './columns';
import { decimate, hasOffScale } from './decimate';

function columns(values: number[], steps = values.map((_, index) => index), reach = 1): Columns {
  return {
    length: values.length,
    steps: Float64Array.from(steps),
    values: Float64Array.from(values),
    reach: new Float64Array(values.length).fill(reach),
  };
}

describe('decimate', () => {
  it('keeps every point if there are enough pixels', () => {
    const line = decimate(columns([3, 1, 2]), 0, 2, 200);
    expect(line.x).toEqual([0, 100, 200]);
    expect(line.value).toEqual([3, 1, 2]);
    expect(line.starts).toEqual([true, false, false]);
    expect([line.low, line.high]).toEqual([1, 3]);
  });

  it('loses no spike of a million points, up or down, and keeps at most four points a pixel', () => {
    const values = Array.from({ length: 1_000_000 }, (_, index) => Math.sin(index / 5_000));
    values[123_456] = 50;
    values[765_432] = -50;
    const line = decimate(columns(values), 0, 999_999, 800);
    expect(line.value).toContain(50);
    expect(line.value).toContain(-50);
    expect([line.low, line.high]).toEqual([-50, 50]);
    expect(line.x.length).toBeLessThanOrEqual(4 * 801);
    expect(line.x.every((x, index) => index === 0 || x >= line.x[index - 1]!)).toBe(true);
    expect(line.value[0]).toBe(values[0]);
    expect(line.value.at(-1)).toBe(values.at(-1));
  });

  it('keeps the extent of the full series in each pixel column', () => {
    let state = 7;
    const random = (): number => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
    const values = Array.from({ length: 20_000 }, () => random() ** 8);
    const line = decimate(columns(values), 0, 20_000, 100);
    for (let column = 0; column < 100; column++) {
      const all = values.slice(column * 200, (column + 1) * 200);
      const kept = line.value.filter((_, index) => Math.floor(line.x[index]!) === column);
      expect(Math.max(...kept)).toBe(Math.max(...all));
      expect(Math.min(...kept)).toBe(Math.min(...all));
    }
  });

  it('leaves a gap where steps are missing, also inside one pixel column', () => {
    expect(decimate(columns([1, 2, 3, 4], [0, 1, 10, 11]), 0, 11, 110).starts).toEqual([true, false, true, false]);
    expect(decimate(columns([1, 2, 3, 4], [0, 1, 10, 11]), 0, 10_000, 10).starts).toEqual([true, false, true, false]);
  });

  it('marks NaN and infinities and breaks the line there', () => {
    const line = decimate(columns([1, NaN, 2, Infinity, 3]), 0, 4, 400);
    expect(line.offScale).toEqual([
      { x: 100, value: NaN },
      { x: 300, value: Infinity },
    ]);
    expect(line.value).toEqual([1, 2, 3]);
    expect(line.starts).toEqual([true, true, true]);
    expect(line.high).toBe(3);
  });

  it.each([1.7976931348623157e308, -1.7976931348623157e308, 3.4028234663852886e38, -1e39])(
    'marks an overflow as it marks an infinity, and keeps the scale of the others: %d',
    (overflow) => {
      const line = decimate(columns([2.5, 2.4, overflow, 2.3, 2.2]), 0, 4, 400);
      expect(line.offScale).toEqual([{ x: 200, value: overflow }]);
      expect([line.low, line.high]).toEqual([2.2, 2.5]);
      expect(line.starts).toEqual([true, false, true, false]);
      expect(decimate(columns([1, -1e38, 1e38]), 0, 2, 200).offScale).toEqual([]);
    },
  );
  it('marks an overflow among very many points', () => {
    const values = new Array<number>(100_000).fill(1);
    values[50_001] = 1.7976931348623157e308;
    const line = decimate(columns(values), 0, 100_000, 100);
    expect(line.offScale).toEqual([{ x: 50.001, value: 1.7976931348623157e308 }]);
    expect([line.low, line.high]).toEqual([1, 1]);
  });

  it('marks values that are not finite once a column, however many there are', () => {
    expect(decimate(columns(new Array<number>(10_000).fill(NaN)), 0, 10_000, 50).offScale.length).toBe(50);
  });

  it('takes one point beyond each edge of the window but measures the extent only inside it', () => {
    const line = decimate(columns([100, 1, 2, 3, 100]), 1, 3, 200);
    expect(line.value).toEqual([100, 1, 2, 3, 100]);
    expect([line.low, line.high]).toEqual([1, 3]);
    expect(line.x[0]).toBe(-100);
  });

  it('applies the transform before it compares', () => {
    const line = decimate(columns([100, 200, 400]), 0, 2, 2, (milliseconds) => 1000 / milliseconds);
    expect([line.low, line.high]).toEqual([2.5, 10]);
  });

  it('returns an empty line for an empty series', () => {
    expect(decimate(columns([]), 0, 10, 100).x).toEqual([]);
  });
});

it('a series has off-scale values if one is NaN, infinite or an overflow, within its length', () => {
  expect(hasOffScale(columns([1, -2, 0]))).toBe(false);
  for (const value of [NaN, Infinity, -Infinity, 1.7976931348623157e308])
    expect(hasOffScale(columns([1, value])), String(value)).toBe(true);
  expect(hasOffScale({ ...columns([1, NaN]), length: 1 })).toBe(false);
});
