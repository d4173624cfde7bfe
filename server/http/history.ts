import { Router } from 'express';
import { HistoryQuery, LatestQuery, maxAnswerValues } from '@plumbline/shared/http';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';
import { SeriesFilter } from '../run/series-filter.js';
import type { EventStore, Series } from '../store/event-store.js';

/** Points of a series among which its last one is: the fewest that a store thins to. */
const fewestPoints = 5;
/** Steps from the end in which last values are looked for first; those not found in more, in turn. */
const firstSpan = 1024;
const spanGrowth = 16;

/**
 * GET /api/runs/:runId/history: series of a run, whole or a range of steps, thinned to `maxPoints` each; a
 * `HistoryResponse`.
 * GET /api/runs/:runId/latest: the last point of each series, in the same form. Reads the end of the run, and more of it
 * only for series that have no value there.
 */
export function historyRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router()
    .get(
      '/runs/:runId/history',
      heavy(reads.answers, async (request, response, signal) => {
        const runId = RunId.parse(request.params['runId']);
        const { metric, ...range } = HistoryQuery.parse(request.query);
        const { segments } = await runs.get(runId);
        const metrics = typeof metric === 'string' ? [metric] : metric;
        const answer = new SeriesAnswer(new JsonAnswer(response, signal), runId);
        const { lastSeq } = await runs.store.eachSeries(
          runId,
          { ...range, metrics, segments, maxValues: maxAnswerValues },
          (name, series) => answer.write(name, series),
          signal,
        );
        await answer.end(lastSeq);
      }),
    )
    .get(
      '/runs/:runId/latest',
      heavy(reads.answers, async (request, response, signal) => {
        const runId = RunId.parse(request.params['runId']);
        const { metric } = LatestQuery.parse(request.query);
        const run = await runs.get(runId);
        const filter = new SeriesFilter(typeof metric === 'string' ? [metric] : metric);
        const answer = new SeriesAnswer(new JsonAnswer(response, signal), runId);
        await answer.end(await eachLatest(runs.store, run, filter, answer, signal));
      }),
    );
}

/** @returns the event number up to which the last points are those */
async function eachLatest(
  store: EventStore,
  { runId, lastStep, segments }: RunSummary,
  filter: SeriesFilter,
  answer: SeriesAnswer,
  signal: AbortSignal,
): Promise<number> {
  const found = new Set<string>();
  const missing = (): string[] => [...filter.names].filter((name) => !found.has(name));
  const isGroup = filter.beginnings.length > 0;
  let firstLastSeq: number | undefined;
  for (let span = firstSpan; ; span *= spanGrowth) {
    const fromStep = Math.max(0, lastStep - span);
    // All series where a group is asked for: who is in it is seen by their names.
    const metrics = isGroup ? undefined : missing();
    const { lastSeq } = await store.eachSeries(
      runId,
      { metrics, fromStep, segments, maxPoints: fewestPoints },
      async (name, series) => {
        if (found.has(name) || !filter.has(name)) return;
        found.add(name);
        await answer.write(name, lastPoint(series));
      },
      signal,
    );
    firstLastSeq ??= lastSeq;
    // A group is complete where some of it was found: its series come together, with a probe.
    const groupsFound = filter.beginnings.every((beginning) => [...found].some((name) => name.startsWith(beginning)));
    if (fromStep === 0 || (missing().length === 0 && groupsFound)) return firstLastSeq;
  }
}

function lastPoint({ seqs, steps, values }: Series): Series {
  return { seqs: seqs.slice(-1), steps: steps.slice(-1), values: values.slice(-1), bucketSteps: 0 };
}

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

  async write(name: string, { steps, seqs, values, bucketSteps }: Series): Promise<void> {
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
