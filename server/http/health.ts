import { Router } from 'express';
import type { ReadinessResponse } from '@plumbline/shared/http';

export interface HealthParts {
  readiness: () => Promise<ReadinessResponse>;
}

/** GET /healthz: the process answers. GET /readyz: it can do its work; 503 with what is wrong and what to do otherwise. */
export function healthRoutes({ readiness }: HealthParts): Router {
  return Router()
    .get('/healthz', (_request, response) => {
      response.set('Cache-Control', 'no-store').json({ ok: true });
    })
    .get('/readyz', async (_request, response) => {
      const answer = await readiness();
      response
        .set('Cache-Control', 'no-store')
        .status(answer.ready ? 200 : 503)
        .json(answer);
    });
}
