import { Router } from 'express';
import type { ReadinessResponse } from '@plumbline/shared/http';
import { mayWatch, type WatchSetting } from '../access/may-watch.js';
import { callerOf } from './rate-limit.js';

export interface HealthParts {
  readiness: () => Promise<ReadinessResponse>;
  watch: WatchSetting;
}

/**
 * GET /healthz: the process answers. GET /readyz: it can do its work; 503 otherwise. What is wrong and what to do is for
 * those who may watch.
 */
export function healthRoutes({ readiness, watch }: HealthParts): Router {
  let asked: Promise<ReadinessResponse> | null = null;
  // Whoever asks meanwhile has the same answer: the store is read once at a time, however many ask.
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
