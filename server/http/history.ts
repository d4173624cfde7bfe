import { Router } from 'express';
import { HistoryQuery, maxAnswerValues } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

/**
 * GET /api/runs/:runId/history: series of a run, whole or a range of steps, thinned to `maxPoints` each; a
 * `HistoryResponse`.
 */
export function historyRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router().get(
    '/runs/:runId/history',
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      const { metric, ...range } = HistoryQuery.parse(request.query);
      const { segments } = await runs.get(runId);
      const metrics = typeof metric === 'string' ? [metric] : metric;
      const answer = new JsonAnswer(response, signal);
      const series = answer.entries();
      await answer.write(`{"runId":${JSON.stringify(runId)},"series":{`);
      const { lastSeq } = await runs.store.eachSeries(
        runId,
        { ...range, metrics, segments, maxValues: maxAnswerValues },
        (name, { steps, seqs, values, bucketSteps }) =>
          series(name, async () => {
            await answer.write('{');
            await answer.column('steps', steps);
            await answer.write(',');
            await answer.column('seqs', seqs);
            await answer.write(',');
            await answer.column('values', values);
            await answer.write(`,"bucketSteps":${bucketSteps}}`);
          }),
        signal,
      );
      answer.end(`},"lastSeq":${lastSeq}}`);
    }),
  );
}
