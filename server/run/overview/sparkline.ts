/** Stretches of steps that a sparkline is cut into, at most; each keeps its lowest and its highest point. */
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

/** The course of one series in at most 32 points, whatever its length, and its last value. */
export class Sparkline {
  /** The newest value, which may be no number. */
  last: Point | null = null;
  #width = 1;
  #stretches: Stretch[] = [];

  /** Steps come in order; one that lies further back belongs to the newest stretch. */
  add(step: number, value: number): void {
    this.last = { step, value };
    if (!Number.isFinite(value)) return;
    this.#put(Math.floor(step / this.#width), this.last, this.last);
    while (this.#stretches.length > maxStretches) this.#halve();
  }

  /** Low and high of each stretch, in order of their steps. */
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
