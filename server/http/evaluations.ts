import { Router } from 'express';
import type { EvaluationsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { EvaluationCompleted } from '@plumbline/shared/trainer-event';
import { evaluationTable } from '../analysis/evaluation-table.js';
import { intervalLevel } from '../analysis/proportion-interval.js';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';

/** GET /api/runs/:runId/evaluations: the answers at the base model, after each stage and at WiSE-FT's weights, by task. */
export function evaluationRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router().get(
    '/runs/:runId/evaluations',
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      await runs.get(runId);
      const events: EvaluationCompleted[] = [];
      const take = (texts: readonly string[]): void =>
        void events.push(...texts.map((text) => JSON.parse(text) as EvaluationCompleted));
      await runs.store.eachControlEvents(runId, take, { types: ['evaluation_completed'], signal });
      response.json({ runId, level: intervalLevel, tasks: evaluationTable(events) } satisfies EvaluationsResponse);
    }),
  );
}
