import type { Reader } from './duckdb-reader.js';
import {
  AnswerTooLargeError,
  type HistoryRange,
  type LastPoint,
  type Position,
  type Series,
  type TakeSeries,
  type WindowRange,
  type Windows,
} from './event-store.js';
import { historyQuery, lastPointsQuery, lengthsQuery, windowsCount, windowsQuery } from './history-query.js';
import { inBatches } from './series-batches.js';
import { SeriesColumns } from './series-columns.js';

/** DuckDB's memory per group of series and window, with room for three queries at a time. */
const bytesPerGroup = 1024;
/** A thinned series has three points a bucket, and its query groups by bucket several times. */
const pointGroups = 2 / 3;

/** Events from the end in which last points are looked for first, and how much more each next look takes. */
const [firstSpan, spanGrowth] = [4096, 16];

/** Extent of a series in a range of steps. */
interface SeriesLength {
  points: number;
  firstStep: number;
  lastStep: number;
}
interface BatchOptions {
  range: WindowRange;
  lastSeq: number;
  lengthOf: (length: SeriesLength) => number;
  groupsPerPoint: number;
}

/** Answers of series, one batch after another that DuckDB groups within its memory; a batch is read, then handed over. */
export class SeriesAnswers {
  /** @param memoryBytes DuckDB's memory limit */
  constructor(readonly memoryBytes: number) {}

  /**
   * Hands over series of a run, thinned, up to its position.
   * @param metrics by the ids of their series
   * @throws AnswerTooLargeError
   */
  async each(
    reader: Reader,
    metrics: ReadonlyMap<number, string>,
    range: HistoryRange,
    { lastSeq, lastStep }: Position,
    take: TakeSeries<Series>,
  ): Promise<void> {
    const ids = [...metrics.keys()];
    const lengthOf = (length: SeriesLength): number => Math.min(length.points, range.maxPoints);
    const batches = await this.#batches(reader, ids, { range, lastSeq, lengthOf, groupsPerPoint: pointGroups });
    for (const batch of batches) {
      const { sql, values } = historyQuery(batch, range, lastSeq, lastStep);
      // Width, event number, step, value.
      for (const [id, [width, seqs, steps, numbers]] of await seriesOf(reader, sql, values, 4))
        await reader.hand(() =>
          take(metrics.get(id)!, { seqs: seqs!, steps: steps!, values: numbers!, bucketSteps: width![0]! }),
        );
    }
  }

  /**
   * Reads the last points of series of a run, looking back from its end: DuckDB skips most earlier points.
   * @param metrics by the ids of their series
   */
  async lastPoints(
    reader: Reader,
    metrics: ReadonlyMap<number, string>,
    range: Pick<HistoryRange, 'segments'>,
    lastSeq: number,
  ): Promise<Map<string, LastPoint>> {
    const points = new Map<string, LastPoint>();
    const missing = new Set(metrics.keys());
    for (let span = firstSpan, end = lastSeq; missing.size > 0 && end > 0; span *= spanGrowth) {
      const afterSeq = Math.max(0, lastSeq - span);
      const { sql, values } = lastPointsQuery([...missing], range, { afterSeq, lastSeq: end });
      // A query that begins anew finds the same points.
      await reader.fold(
        sql,
        values,
        () => points,
        (into, chunk) => {
          for (const [id, seq, step, value] of chunk.getRows() as [number, number, number, number][]) {
            into.set(metrics.get(id)!, { seq, step, value });
            missing.delete(id);
          }
        },
      );
      end = afterSeq;
    }
    return points;
  }

  /**
   * Hands over summaries of series of a run in windows of steps.
   * @param metrics by the ids of their series
   * @throws AnswerTooLargeError
   */
  async eachWindows(
    reader: Reader,
    metrics: ReadonlyMap<number, string>,
    range: WindowRange,
    lastSeq: number,
    take: TakeSeries<Windows>,
  ): Promise<void> {
    const ids = [...metrics.keys()];
    const { fromStep = 0, everySteps = Infinity } = range;
    const windowOf = (step: number): number => Math.floor((step - fromStep) / everySteps);
    // Upper bound: one per point, and one per width between the first and the last step.
    const lengthOf = ({ points, firstStep, lastStep }: SeriesLength): number =>
      Math.min(points, windowOf(lastStep) - windowOf(firstStep) + 1);
    const count = async (ids: number[]): Promise<[number, number]> => {
      const { sql, values } = windowsCount(ids, range);
      return (await reader.rows(sql, values))[0] as [number, number];
    };
    const batches = await this.#batches(reader, ids, { range, lastSeq, lengthOf, groupsPerPoint: 1 }, count);
    for (const batch of batches) {
      const { sql, values } = windowsQuery(batch, range);
      for (const [id, columns] of await seriesOf(reader, sql, values, 6)) {
        const [fromSteps, counts, minima, maxima, means, lasts] = columns;
        await reader.hand(() =>
          take(metrics.get(id)!, {
            ...{ fromSteps: fromSteps!, counts: counts!, minima: minima!, maxima: maxima! },
            ...{ means: means!, lasts: lasts! },
          }),
        );
      }
    }
  }

  /**
   * Splits series into batches that DuckDB can group in memory, and checks the limits of the answer.
   * @param lengthOf upper bound of a series' values in the answer
   * @param count exact values of all series and of the longest, where `lengthOf` is only an upper bound
   * @throws AnswerTooLargeError
   */
  async #batches(
    reader: Reader,
    ids: number[],
    { range, lastSeq, lengthOf, groupsPerPoint }: BatchOptions,
    count?: (ids: number[]) => Promise<[number, number]>,
  ): Promise<number[][]> {
    const groupsPerBatch = this.memoryBytes / bytesPerGroup / groupsPerPoint;
    const { maxValues = Infinity, maxSeriesValues = Infinity } = range;
    const longest = lengthOf({ points: lastSeq, firstStep: 0, lastStep: Number.MAX_SAFE_INTEGER });
    // Short in any case: no need to count.
    if (ids.length * longest <= Math.min(maxValues, maxSeriesValues, groupsPerBatch)) return [ids];
    const { sql, values } = lengthsQuery(ids, range, lastSeq);
    const lengths = await reader.fold(
      sql,
      values,
      () => new Map<number, number>(),
      (into, chunk) => {
        for (const [id, points, firstStep, lastStep] of chunk.getRows() as [number, number, number, number][])
          into.set(id, lengthOf({ points, firstStep, lastStep }));
      },
    );
    let [all, most] = [0, 0];
    for (const length of lengths.values()) {
      all += length;
      most = Math.max(most, length);
    }
    if (count && (all > maxValues || most > maxSeriesValues)) [all, most] = await count(ids);
    if (all > maxValues) throw new AnswerTooLargeError(maxValues);
    if (most > maxSeriesValues) throw new AnswerTooLargeError(maxSeriesValues, 'of one metric');
    return inBatches([...lengths.keys()], (id) => lengths.get(id)!, groupsPerBatch);
  }
}

/** The series of a batch, each with its columns. @param width columns beside the id */
async function seriesOf(
  reader: Reader,
  sql: string,
  values: readonly (string | number)[],
  width: number,
): Promise<Iterable<[id: number, columns: Float64Array<ArrayBuffer>[]]>> {
  const columns = await reader.fold(
    sql,
    values,
    () => new SeriesColumns(width),
    (into, chunk) => into.add(chunk),
  );
  return columns.series();
}
