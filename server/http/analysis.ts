import { Router } from 'express';
import {
  CompareQuery,
  maxAnswerValues,
  WindowsQuery,
  type CompareResponse,
  type FindingsResponse,
  type WindowsResponse,
} from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import { runFindings } from '../run/run-findings.js';
import type { RunRegistry } from '../run/registry.js';
import type { Windows } from '../store/event-store.js';

/**
 * What is asked afterwards.
 * GET /api/runs/:runId/windows: count, min, max, mean and last of each metric in windows of steps
 * GET /api/runs/:runId/findings: why the run went as it went, in sentences with their numbers
 * GET /api/compare?run=A&run=B: the same figures of several runs, over all their steps or a range
 */
export function analysisRoutes({ runs }: { runs: RunRegistry }): Router {
  return Router()
    .get('/runs/:runId/windows', async (request, response) => {
      const runId = RunId.parse(request.params.runId);
      const { metric, ...range } = WindowsQuery.parse(request.query);
      await runs.get(runId);
      const windows = await runs.store.windows(runId, { ...range, metrics: list(metric), maxValues: maxAnswerValues });
      const series = Object.fromEntries([...windows].map(([name, columns]) => [name, toWire(columns)]));
      response.json({ runId, series } satisfies WindowsResponse);
    })
    .get('/runs/:runId/findings', async (request, response) => {
      const runId = RunId.parse(request.params.runId);
      const run = await runs.get(runId);
      response.json({ runId, findings: await runFindings(runs.store, run) } satisfies FindingsResponse);
    })
    .get('/compare', async (request, response) => {
      const { run, metric, ...range } = CompareQuery.parse(request.query);
      const runIds = list(run)!;
      const compared = await Promise.all(
        runIds.map(async (runId) => {
          const summary = await runs.get(runId);
          const windows = await runs.store.windows(runId, { ...range, metrics: list(metric) });
          const figures = Object.fromEntries(
            [...windows].map(([name, { counts, minima, maxima, means, lasts }]) => [
              name,
              { count: counts[0]!, min: minima[0]!, max: maxima[0]!, mean: means[0]!, last: lasts[0]! },
            ]),
          );
          return { run: summary, metrics: figures };
        }),
      );
      response.json({ runs: compared } satisfies CompareResponse);
    });
}

/** A parameter that is given once comes as itself, more than once as a list. */
const list = <T extends string>(value: T | T[] | undefined): T[] | undefined =>
  typeof value === 'string' ? [value] : value;

function toWire({ fromSteps, counts, minima, maxima, means, lasts }: Windows) {
  const columns = { fromSteps, counts, minima, maxima, means, lasts };
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, [...column]])) as Record<
    keyof typeof columns,
    number[]
  >;
}
