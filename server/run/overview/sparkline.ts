/** The most buckets of steps in a sparkline; each keeps its lowest and its highest point. */
const maxStretches = 16;

interface Point {
  step: number;
  value: number;
}
interface Stretch {
  number: number;
  low: Point;
  high: Point;
}

/** One series of any length in at most 32 points, and its last value. */
export class Sparkline {
  /** The newest value, which may be NaN or infinite. */
  last: Point | null = null;
  #width = 1;
  #stretches: Stretch[] = [];

  /** Adds a value. Steps arrive in order; an earlier step goes into the newest bucket. */
  add(step: number, value: number): void {
    this.last = { step, value };
    if (!Number.isFinite(value)) return;
    this.#put(Math.floor(step / this.#width), this.last, this.last);
    while (this.#stretches.length > maxStretches) this.#halve();
  }

  /** The low and high of each bucket, in order of steps. */
  get points(): Point[] {
    return this.#stretches.flatMap(({ low, high }) => {
      if (low.step === high.step) return [low];
      return low.step < high.step ? [low, high] : [high, low];
    });
  }

  #put(number: number, low: Point, high: Point): void {
    const newest = this.#stretches.at(-1);
    if (!newest || number > newest.number) {
      this.#stretches.push({ number, low, high });
      return;
    }
    if (low.value < newest.low.value) newest.low = low;
    if (high.value > newest.high.value) newest.high = high;
  }

  #halve(): void {
    const stretches = this.#stretches;
    this.#width *= 2;
    this.#stretches = [];
    for (const { number, low, high } of stretches) this.#put(Math.floor(number / 2), low, high);
  }
}
