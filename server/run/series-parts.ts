import type { RunSummary, Segment } from '@plumbline/shared/run';
import { AnswerTooLargeError, everyPoint, type EventStore, type Series } from '../store/event-store.js';

/** Values that are held at a time: 12 MB in columns. */
const defaultValuesAtOnce = 500_000;

type Store = Pick<EventStore, 'history' | 'events'>;
type Run = Pick<RunSummary, 'runId' | 'lastStep'>;

export interface WholeSeries {
  metrics: readonly string[];
  /** As in `HistoryRange`: superseded points are left out. Give either this or `startedSegments`. */
  segments?: readonly Segment[] | undefined;
  /** The run's segments, where superseded points are to be read too. */
  startedSegments?: readonly Segment[];
  toStep?: number | undefined;
}

export interface PartsOptions {
  /** Ends the reads, which answer a client. */
  signal?: AbortSignal | undefined;
  /** Most values of a part. A single step with more of them is one part all the same. */
  valuesAtOnce?: number | undefined;
}

/** A stretch of a run in which steps do not go back: a segment, or the whole run without superseded points. */
interface Stretch {
  fromSeq: number;
  /** Excluded. */
  toSeq: number;
  fromStep: number;
  toStep: number;
}

/**
 * Reads every point of series in parts, so that its memory is bounded for any length of the run. Parts come in order of event
 * numbers: all numbers of a part are above those of the part before.
 * @param take takes a part; the next one is read when this resolves
 * @returns the event number up to which the series are complete; no point above it is taken
 * @throws ReadAbandonedError after `signal`
 */
export async function eachPart(
  store: Store,
  run: Run,
  { metrics, segments, startedSegments = [], toStep = Infinity }: WholeSeries,
  take: (part: Map<string, Series>) => void | Promise<void>,
  { signal, valuesAtOnce = defaultValuesAtOnce }: PartsOptions = {},
): Promise<{ lastSeq: number }> {
  const { runId, lastStep } = run;
  let lastSeq = Infinity;
  /** @returns null if there are more values than `maxValues` */
  const read = async (fromStep: number, toStep: number, maxValues?: number): Promise<Map<string, Series> | null> => {
    const steps = { fromStep, ...(Number.isFinite(toStep) && { toStep }) };
    try {
      const found = await store.history(
        runId,
        { metrics, segments, ...steps, maxPoints: everyPoint, maxValues },
        signal,
      );
      // Later reads would find newer events in some series, and not in those that were read before.
      lastSeq = Math.min(lastSeq, found.lastSeq);
      return found.series;
    } catch (error) {
      if (error instanceof AnswerTooLargeError) return null;
      throw error;
    }
  };
  const all = await read(0, toStep, valuesAtOnce);
  if (all) {
    await take(all);
    return { lastSeq };
  }
  for (const stretch of await stretchesOf(store, run, startedSegments, toStep)) {
    const end = Math.min(stretch.toStep, lastStep);
    let width = Math.max(1, end - stretch.fromStep + 1);
    for (let from = stretch.fromStep; from <= stretch.toStep;) {
      // Past the last known step everything is asked for at first: newer events have come, or there is nothing.
      const isTail = from > end;
      const to = Math.min(stretch.toStep, from + width - 1);
      const tail = isTail ? await read(from, stretch.toStep, valuesAtOnce) : null;
      const part = tail ?? (await read(from, to, width > 1 ? valuesAtOnce : undefined));
      if (part) {
        await take(between(part, stretch.fromSeq, Math.min(stretch.toSeq, lastSeq + 1)));
        if (tail) break;
        from = to + 1;
        width *= 2;
      } else width = Math.max(1, Math.floor(width / 2));
    }
  }
  return { lastSeq };
}

/** The stretches of a run, in order of events. */
async function stretchesOf(
  store: Store,
  { runId }: Run,
  segments: readonly Segment[],
  toStep: number,
): Promise<Stretch[]> {
  const stretches: Stretch[] = [{ fromSeq: 0, toSeq: Infinity, fromStep: 0, toStep }];
  for (const { seq, fromStep } of segments) {
    const before = stretches.at(-1)!;
    const [last] = await store.events(runId, seq - 1, 1);
    before.toSeq = seq;
    before.toStep = Math.min(toStep, last?.step ?? Infinity);
    stretches.push({ fromSeq: seq, toSeq: Infinity, fromStep, toStep });
  }
  return stretches;
}

/** The points of series from one event number up to another, which is excluded. */
function between(series: Map<string, Series>, fromSeq: number, toSeq: number): Map<string, Series> {
  return new Map(
    [...series].map(([metric, { seqs, steps, values, bucketSteps }]) => {
      const [from, to] = [firstAt(seqs, fromSeq), firstAt(seqs, toSeq)];
      return [
        metric,
        {
          seqs: seqs.subarray(from, to),
          steps: steps.subarray(from, to),
          values: values.subarray(from, to),
          bucketSteps,
        },
      ];
    }),
  );
}

/** The index of the first number that is not below another. */
function firstAt(seqs: Float64Array, seq: number): number {
  const index = seqs.findIndex((one) => one >= seq);
  return index < 0 ? seqs.length : index;
}
