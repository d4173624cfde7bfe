import { Router } from 'express';
import { CompareQuery, WindowsQuery, type FindingsResponse } from '@plumbline/shared/http';
import { maxAnswerValues, smallAnswerValues } from '@plumbline/shared/request-limits';
import { RunId } from '@plumbline/shared/run';
import { runFindings } from '../run/run-findings.js';
import type { RunRegistry } from '../run/registry.js';
import type { Windows } from '../store/event-store.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

export interface AnalysisParts extends ReadParts {
  runs: RunRegistry;
  /** Most windows of one series in an answer. */
  maxSeriesWindows: number;
}

/**
 * Routes for the analysis of runs.
 * GET /api/runs/:runId/windows: count, min, max, mean and last of each metric in windows of steps; a `WindowsResponse`
 * GET /api/runs/:runId/findings: why the run went as it went, in sentences with their numbers
 * GET /api/compare?run=A&run=B: the same figures of several runs, over all their steps or a range; a `CompareResponse`
 */
export function analysisRoutes({ runs, reads, maxSeriesWindows }: AnalysisParts): Router {
  return Router()
    .get(
      '/runs/:runId/windows',
      heavy(
        ({ query }) => (isSmall(WindowsQuery.parse(query)) ? reads.small : reads.answers),
        async (request, response, signal) => {
          const runId = RunId.parse(request.params['runId']);
          const { metric, ...range } = WindowsQuery.parse(request.query);
          const { segments } = await runs.get(runId);
          const answer = new JsonAnswer(response, signal);
          const series = answer.entries();
          await answer.write(`{"runId":${JSON.stringify(runId)},"series":{`);
          await runs.store.eachWindows(
            runId,
            {
              ...{ ...range, metrics: metric, segments },
              ...{ maxValues: maxAnswerValues, maxSeriesValues: maxSeriesWindows },
            },
            (name, windows) => series(name, () => writeWindows(answer, windows)),
            signal,
          );
          answer.end('}}');
        },
      ),
    )
    .get(
      '/runs/:runId/findings',
      heavy(reads.answers, async (request, response, signal) => {
        const runId = RunId.parse(request.params['runId']);
        const run = await runs.get(runId);
        const findings = await runs.whole(runId, (ended) => runFindings(runs.store, run, ended), signal);
        response.json({ runId, findings } satisfies FindingsResponse);
      }),
    )
    .get(
      '/compare',
      heavy(reads.answers, async (request, response, signal) => {
        const { run, metric, ...range } = CompareQuery.parse(request.query);
        const summaries = await Promise.all(run.map((runId) => runs.get(runId)));
        const answer = new JsonAnswer(response, signal);
        await answer.write('{"runs":[');
        for (const [index, summary] of summaries.entries()) {
          await answer.write(`${index === 0 ? '' : ','}{"run":${JSON.stringify(summary)},"metrics":{`);
          const metrics = answer.entries();
          await runs.store.eachWindows(
            summary.runId,
            { ...range, metrics: metric, segments: summary.segments },
            (name, { counts, minima, maxima, means, lasts }) =>
              metrics(name, () => {
                const figures = {
                  count: counts[0]!,
                  min: minima[0]!,
                  max: maxima[0]!,
                  mean: means[0]!,
                  last: lasts[0]!,
                };
                return answer.write(JSON.stringify(figures));
              }),
            signal,
          );
          await answer.write('}}');
        }
        answer.end(']}');
      }),
    );
}

/** Whether an answer has few windows, whatever the run holds. */
function isSmall({ metric, fromStep = 0, toStep = Infinity, everySteps = Infinity }: WindowsQuery): boolean {
  const windows = everySteps === Infinity ? 1 : Math.ceil((toStep - fromStep + 1) / everySteps);
  return metric !== undefined && metric.length * windows <= smallAnswerValues;
}

async function writeWindows(answer: JsonAnswer, windows: Windows): Promise<void> {
  const { fromSteps, counts, minima, maxima, means, lasts } = windows;
  let before = '{';
  for (const [name, column] of Object.entries({ fromSteps, counts, minima, maxima, means, lasts })) {
    await answer.write(before);
    await answer.column(name, column);
    before = ',';
  }
  await answer.write('}');
}
