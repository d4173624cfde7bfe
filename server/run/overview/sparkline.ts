import { isMeasured } from '@plumbline/shared/metric';

/** The most buckets of steps in a sparkline; each keeps its lowest, its highest and its first unmeasured point. */
const maxStretches = 16;

interface Point {
  step: number;
  value: number;
}
interface Stretch {
  number: number;
  /** Among the measured points; null if there are none. */
  low: Point | null;
  high: Point | null;
  /** The first unmeasured point: NaN, infinite or an overflow. Without it a diverged series would look calm. */
  odd: Point | null;
}

/** One series of any length in at most 48 points, and its last value. */
export class Sparkline {
  /** The newest value, which may be NaN or infinite. */
  last: Point | null = null;
  #width = 1;
  #stretches: Stretch[] = [];

  /** Adds a value. Steps arrive in order; an earlier step goes into the newest bucket. */
  add(step: number, value: number): void {
    this.last = { step, value };
    const point = isMeasured(value)
      ? { low: this.last, high: this.last, odd: null }
      : { low: null, high: null, odd: this.last };
    this.#put({ number: Math.floor(step / this.#width), ...point });
    while (this.#stretches.length > maxStretches) this.#halve();
  }

  /** The low, the high and the first unmeasured point of each bucket, in order of steps. */
  get points(): Point[] {
    return this.#stretches.flatMap(({ low, high, odd }) => {
      const points = [low, high === low || high?.step === low?.step ? null : high, odd].filter(
        (point) => point !== null,
      );
      return points.sort((a, b) => a.step - b.step);
    });
  }

  #put(stretch: Stretch): void {
    const newest = this.#stretches.at(-1);
    if (!newest || stretch.number > newest.number) {
      this.#stretches.push(stretch);
      return;
    }
    const { low, high, odd } = stretch;
    if (low && (newest.low === null || low.value < newest.low.value)) newest.low = low;
    if (high && (newest.high === null || high.value > newest.high.value)) newest.high = high;
    newest.odd ??= odd;
  }

  #halve(): void {
    const stretches = this.#stretches;
    this.#width *= 2;
    this.#stretches = [];
    for (const stretch of stretches) this.#put({ ...stretch, number: Math.floor(stretch.number / 2) });
  }
}
