import { Router } from 'express';
import { HistoryQuery, LatestQuery } from '@plumbline/shared/http';
import { maxAnswerValues, smallAnswerValues } from '@plumbline/shared/request-limits';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';
import { SeriesFilter } from '../run/series-filter.js';
import type { Series } from '../store/event-store.js';

/**
 * GET /api/runs/:runId/history: series of a run, whole or a range of steps, thinned to `maxPoints` each; a
 * `HistoryResponse`.
 * GET /api/runs/:runId/latest: the last point of each series, in the same form.
 */
export function historyRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router()
    .get(
      '/runs/:runId/history',
      heavy(
        ({ query }) => (isSmall(HistoryQuery.parse(query)) ? reads.small : reads.answers),
        async (request, response, signal) => {
          const runId = RunId.parse(request.params['runId']);
          const { metric, ...range } = HistoryQuery.parse(request.query);
          const { segments } = await runs.get(runId);
          const answer = new SeriesAnswer(new JsonAnswer(response, signal), runId);
          const { lastSeq } = await runs.store.eachSeries(
            runId,
            { ...range, metrics: metric, segments, maxValues: maxAnswerValues },
            (name, series) => answer.write(name, series),
            signal,
          );
          await answer.end(lastSeq);
        },
      ),
    )
    .get(
      '/runs/:runId/latest',
      heavy(
        ({ query }) => (namesOnly(LatestQuery.parse(query).metric) ? reads.small : reads.answers),
        async (request, response, signal) => {
          const runId = RunId.parse(request.params['runId']);
          const { metric } = LatestQuery.parse(request.query);
          const { segments } = await runs.get(runId);
          const filter = new SeriesFilter(metric);
          const metrics = filter.beginnings.length > 0 ? undefined : [...filter.names];
          const { lastSeq, points } = await runs.store.lastPoints(runId, { metrics, segments }, signal);
          const answer = new SeriesAnswer(new JsonAnswer(response, signal), runId);
          for (const [name, { seq, step, value }] of points)
            if (filter.has(name))
              await answer.write(name, { seqs: [seq], steps: [step], values: [value], bucketSteps: 0 });
          await answer.end(lastSeq);
        },
      ),
    );
}

/** Whether a history has few values, whatever the run holds. */
const isSmall = ({ metric, maxPoints }: HistoryQuery): boolean =>
  metric !== undefined && metric.length * maxPoints <= smallAnswerValues;

/** Whether single series are asked for, and no groups. */
const namesOnly = (metric: LatestQuery['metric']): boolean => metric.every((name) => !name.endsWith('*'));

/** A series whose columns may be plain arrays. */
type Columns = { [Key in keyof Series]: Series[Key] extends number ? number : ArrayLike<number> };

/** A `HistoryResponse` that is sent while it is read. */
class SeriesAnswer {
  readonly #series: ReturnType<JsonAnswer['entries']>;
  #begun: Promise<void>;

  constructor(
    readonly answer: JsonAnswer,
    runId: RunId,
  ) {
    this.#series = answer.entries();
    this.#begun = answer.write(`{"runId":${JSON.stringify(runId)},"series":{`);
  }

  async write(name: string, { steps, seqs, values, bucketSteps }: Columns): Promise<void> {
    const { answer } = this;
    await this.#begun;
    await this.#series(name, async () => {
      await answer.write('{');
      await answer.column('steps', steps);
      await answer.write(',');
      await answer.column('seqs', seqs);
      await answer.write(',');
      await answer.column('values', values);
      await answer.write(`,"bucketSteps":${bucketSteps}}`);
    });
  }

  async end(lastSeq: number): Promise<void> {
    await this.#begun;
    this.answer.end(`},"lastSeq":${lastSeq}}`);
  }
}
