import { Router } from 'express';
import type { ControlEventsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';

/** GET /api/runs/:runId/events: its control events, ascending. */
export function eventRoutes({ runs }: { runs: RunRegistry }): Router {
  return Router().get('/runs/:runId/events', async (request, response) => {
    const runId = RunId.parse(request.params.runId);
    await runs.get(runId);
    response.json({ runId, ...(await runs.store.controlEvents(runId)) } satisfies ControlEventsResponse);
  });
}
