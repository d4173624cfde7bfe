import type { WireSeries } from '@plumbline/shared/http';
import { fromWireNumber, wallTimeSeries } from '@plumbline/shared/metric';
import type { Segment } from '@plumbline/shared/run';
import type { RunDescription } from '@plumbline/shared/run-description';
import type { Columns } from '../charts/columns';

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
  /** True once merged history was thinned by the hub: zooming in can then fetch more. */
  thinned = false;

  /** @param rhythm steps between two values that are expected: 1 for what every step reports */
  constructor(public rhythm = 1) {}

  /** The empty buffer of a run's metric: values are expected with every step, or with every probe. */
  static of(metric: string, { probeEverySteps }: Pick<RunDescription, 'probeEverySteps'>): SeriesBuffer {
    const isOfEveryStep = metric.startsWith('train/') || metric === wallTimeSeries;
    return new SeriesBuffer(isOfEveryStep ? 1 : (probeEverySteps ?? 1));
  }

  get lastValue(): number | undefined {
    return this.length > 0 ? this.values[this.length - 1] : undefined;
  }
  get lastStep(): number | undefined {
    return this.length > 0 ? this.steps[this.length - 1] : undefined;
  }

  /** Adds a live value; one whose event is already held, or older than the newest, is skipped. */
  append(seq: number, step: number, value: number): void {
    if (this.length > 0 && seq <= this.seqs[this.length - 1]!) return;
    this.#reserve(this.length + 1);
    this.#put(this.length, seq, step, value, this.rhythm);
    this.length++;
    if (this.#learnRhythm(this.steps, this.length - 1))
      this.reach[this.length - 1] = this.reach[this.length - 2] = this.rhythm;
  }

  /**
   * Merges history, whatever part of it is held already.
   * @param series ascending by seq; thinned neighbours may lie two of its buckets apart
   */
  merge(series: WireSeries): void {
    const count = series.seqs.length;
    if (count === 0) return;
    const thinned = series.bucketSteps > 0;
    if (thinned) this.thinned = true;
    else for (let index = 2; index < count; index++) this.#learnRhythm(series.steps, index);
    const reach = Math.max(this.rhythm, 2 * series.bucketSteps);

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
      // The first point of an answer says nothing of what lies before it.
      const theirReach = theirs === 0 ? Infinity : reach;
      if (mySeq <= theirSeq) {
        // Where both hold a point, the finer of the two knows better what lies before it.
        const near = mySeq === theirSeq ? Math.min(reaches[mine]!, theirReach) : reaches[mine]!;
        this.#put(at++, mySeq, steps[mine]!, values[mine]!, near);
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

  /** Lets go of what a later segment of the run has superseded. */
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

  /** A trainer may report more rarely than expected: a spacing seen twice in a row is its rhythm, not a gap. */
  #learnRhythm(steps: ArrayLike<number>, index: number): boolean {
    if (index < 2) return false;
    const spacing = steps[index]! - steps[index - 1]!;
    if (spacing <= this.rhythm || spacing !== steps[index - 1]! - steps[index - 2]!) return false;
    this.rhythm = spacing;
    return true;
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
