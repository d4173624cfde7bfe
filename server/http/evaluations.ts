import { Router } from 'express';
import type { EvaluationsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import { evaluationTable } from '../analysis/evaluation-table.js';
import { intervalLevel } from '../analysis/proportion-interval.js';
import type { RunService } from '../run/run-service.js';

/** GET /api/runs/:runId/evaluations: the answers at the base model, after each stage and at WiSE-FT's weights, by task. */
export function evaluationRoutes({ runs }: { runs: RunService }): Router {
  return Router().get('/runs/:runId/evaluations', async (request, response) => {
    const runId = RunId.parse(request.params.runId);
    await runs.get(runId);
    const { events } = await runs.store.controlEvents(runId);
    response.json({ runId, level: intervalLevel, tasks: evaluationTable(events) } satisfies EvaluationsResponse);
  });
}
