import type { WireSeries } from '@plumbline/shared/http';
import { fromWireNumber } from '@plumbline/shared/metric';
import type { Segment } from '@plumbline/shared/run';
import type { Columns } from '../charts/columns';

/** The number of spacings from which the rhythm of a series is computed. */
const mostSpacings = 9;

/** The median; the smaller middle one of an even number; 0 for an empty list. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] ?? 0;
}

/**
 * How far before each point its neighbour may lie without a gap: the median spacing of the
 * points around it, or a spacing that occurs twice in a row, as a trainer may report less often from some step on.
 */
function nearOf(steps: readonly number[]): Float64Array {
  const spacings = steps.map((step, index) => (index === 0 ? 0 : step - steps[index - 1]!));
  return Float64Array.from(spacings, (spacing, index) => {
    const around = spacings.slice(Math.max(1, index - (mostSpacings >> 1)), index + (mostSpacings >> 1) + 1);
    const isSeenTwice = spacing === spacings[index + 1] || (index > 1 && spacing === spacings[index - 1]);
    return Math.max(median(around.filter((each) => each > 0)), isSeenTwice ? spacing : 0);
  });
}

const columnNames = ['seqs', 'steps', 'values', 'reach'] as const;

/**
 * One metric of one run in the browser: typed columns, ascending by seq, each event's value once.
 * Live points are appended; history, of any range and resolution, is merged in.
 */
export class SeriesBuffer implements Columns {
  length = 0;
  seqs = new Float64Array(0);
  steps = new Float64Array(0);
  values = new Float64Array(0);
  reach = new Float64Array(0);
  /** True once thinned history was merged: zooming in can then fetch more. */
  thinned = false;

  /** Steps between the last few consecutive values, oldest first. */
  #spacings: number[] = [];

  /** The recent number of steps between two values; 0 before the second value. */
  get rhythm(): number {
    return median(this.#spacings);
  }

  get lastValue(): number | undefined {
    return this.length > 0 ? this.values[this.length - 1] : undefined;
  }
  get lastStep(): number | undefined {
    return this.length > 0 ? this.steps[this.length - 1] : undefined;
  }

  /** Adds a live value. A value is skipped if its event is already held or older than the newest. */
  append(seq: number, step: number, value: number): void {
    if (this.length > 0 && seq <= this.seqs[this.length - 1]!) return;
    this.#reserve(this.length + 1);
    const spacing = this.length > 0 ? step - this.steps[this.length - 1]! : 0;
    const isSeenTwice = spacing > 0 && spacing === this.#spacings.at(-1);
    this.#sees(spacing);
    // The first value does not show whether any are missing before it.
    const reach = this.length === 0 ? Infinity : Math.max(this.rhythm, isSeenTwice ? spacing : 0);
    this.#put(this.length, seq, step, value, reach);
    this.length++;
    if (isSeenTwice && this.length > 2) this.reach[this.length - 2] = Math.max(this.reach[this.length - 2]!, spacing);
  }

  /**
   * Merges history, even if parts of it are already held.
   * @param series ascending by seq; thinned neighbours may lie two of its buckets apart
   */
  merge(series: WireSeries): void {
    const count = series.seqs.length;
    if (count === 0) return;
    const thinned = series.bucketSteps > 0;
    if (thinned) this.thinned = true;
    const near = thinned ? new Float64Array(count).fill(2 * series.bucketSteps) : nearOf(series.steps);
    if (!thinned)
      for (let index = Math.max(1, count - mostSpacings); index < count; index++)
        this.#sees(series.steps[index]! - series.steps[index - 1]!);

    const held = columnNames.map((name) => this[name].subarray(0, this.length));
    const [seqs, steps, values, reaches] = held as [Float64Array, Float64Array, Float64Array, Float64Array];
    const heldCount = this.length;
    for (const name of columnNames) this[name] = new Float64Array(Math.ceil((heldCount + count) * 1.25));
    let at = 0;
    let mine = 0;
    let theirs = 0;
    while (mine < heldCount || theirs < count) {
      const mySeq = mine < heldCount ? seqs[mine]! : Infinity;
      const theirSeq = theirs < count ? series.seqs[theirs]! : Infinity;
      // The first point of an answer does not show whether any are missing before it.
      const theirReach = theirs === 0 ? Infinity : near[theirs]!;
      if (mySeq <= theirSeq) {
        // If both have a point, the finer one knows better whether any are missing before it.
        const finer = mySeq === theirSeq ? Math.min(reaches[mine]!, theirReach) : reaches[mine]!;
        this.#put(at++, mySeq, steps[mine]!, values[mine]!, finer);
        mine++;
        if (mySeq === theirSeq) theirs++;
      } else {
        const value = fromWireNumber(series.values[theirs]!);
        this.#put(at++, theirSeq, series.steps[theirs]!, value, theirReach);
        theirs++;
      }
    }
    this.length = at;
  }

  /** Drops all but the last values. */
  keepLast(count: number): void {
    if (this.length <= count) return;
    for (const name of columnNames) this[name] = this[name].slice(this.length - count, this.length);
    this.length = count;
    this.thinned = false;
  }

  /** Drops values that a later segment of the run has superseded. */
  supersede({ seq, fromStep }: Segment): void {
    let kept = 0;
    for (let at = 0; at < this.length; at++) {
      if (this.seqs[at]! < seq && this.steps[at]! > fromStep) continue;
      if (kept < at) this.#put(kept, this.seqs[at]!, this.steps[at]!, this.values[at]!, this.reach[at]!);
      kept++;
    }
    this.length = kept;
  }

  #put(index: number, seq: number, step: number, value: number, reach: number): void {
    this.seqs[index] = seq;
    this.steps[index] = step;
    this.values[index] = value;
    this.reach[index] = reach;
  }

  #sees(spacing: number): void {
    if (spacing <= 0) return;
    this.#spacings.push(spacing);
    if (this.#spacings.length > mostSpacings) this.#spacings.shift();
  }

  #reserve(length: number): void {
    if (length <= this.values.length) return;
    const capacity = Math.max(256, 2 * length);
    for (const name of columnNames) {
      const grown = new Float64Array(capacity);
      grown.set(this[name].subarray(0, this.length));
      this[name] = grown;
    }
  }
}
