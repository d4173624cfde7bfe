import { Router } from 'express';
import type { Registry } from 'prom-client';

export interface MetricsParts {
  metrics: Registry;
}

/** GET /metrics: the hub's metrics in the Prometheus format, for those who may watch. */
export function metricsRoutes({ metrics }: MetricsParts): Router {
  return Router().get('/metrics', async (_request, response) => {
    response
      .set('Cache-Control', 'no-store')
      .type(metrics.contentType)
      .send(await metrics.metrics());
  });
}
