import { Router } from 'express';
import type { ReadinessResponse } from '@plumbline/shared/http';
import { mayWatch, type WatchSetting } from '../access/may-watch.js';
import { callerOf } from './request-budget.js';

export interface HealthParts {
  readiness: () => Promise<ReadinessResponse>;
  watch: WatchSetting;
}

/**
 * GET /healthz: the process answers. GET /readyz: the hub can do its work, otherwise 503. Only those who may watch see the
 * problems and their remedies.
 */
export function healthRoutes({ readiness, watch }: HealthParts): Router {
  let asked: Promise<ReadinessResponse> | null = null;
  // Concurrent requests share one answer, so that the store is checked once at a time.
  const once = (): Promise<ReadinessResponse> => (asked ??= readiness().finally(() => (asked = null)));
  return Router()
    .get('/healthz', (_request, response) => {
      response.set('Cache-Control', 'no-store').json({ ok: true });
    })
    .get('/readyz', async (_request, response) => {
      const full = await once();
      const answer = mayWatch(watch, callerOf(response).kind) ? full : { ready: full.ready, problems: [] };
      response
        .set('Cache-Control', 'no-store')
        .status(answer.ready ? 200 : 503)
        .json(answer satisfies ReadinessResponse);
    });
}
