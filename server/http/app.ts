import type { IncomingMessage } from 'node:http';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import type { ErrorBody } from '@plumbline/shared/http';
import type { ErrorCode, WireError } from '@plumbline/shared/socket';
import type { Callers } from '../access/caller.js';
import { requestBudgets } from '../access/limits.js';
import { refusedRequest, type GuardOptions } from '../access/origin-guard.js';
import { Refusal, toWireError } from '../run/refusal.js';
import { ReadAbandonedError, ReadInterruptedError, ReadTooLargeError } from '../store/event-store.js';
import { analysisRoutes, type AnalysisParts } from './analysis.js';
import { backupRoutes, type BackupParts } from './backup.js';
import { catalogRoutes } from './catalog.js';
import { compressAnswers } from './compress-answers.js';
import { commandRoutes } from './commands.js';
import { evaluationRoutes } from './evaluations.js';
import { eventRoutes } from './events.js';
import { healthRoutes, type HealthParts } from './health.js';
import { exportRoutes } from './export.js';
import { limited } from './request-budget.js';
import { historyRoutes } from './history.js';
import { largeEventRoutes } from './large-events.js';
import { metricsRoutes, type MetricsParts } from './metrics.js';
import { runRoutes, type RunParts } from './runs.js';
import { seriesRoutes } from './series.js';
import { onlyWatchers, sessionRoutes, type SessionParts } from './session.js';
import { cutOffStalledReaders } from './stalled-readers.js';
import { dashboardFiles } from './dashboard-files.js';

export interface AppParts extends RunParts, BackupParts, AnalysisParts, HealthParts, MetricsParts, SessionParts {
  guard: GuardOptions;
  callers: Callers;
  /** Called with requests that show a session or the token. */
  onKnown: (request: IncomingMessage) => void;
  webDir: string;
  log: Logger;
  onError: (error: unknown) => void;
}

const statusOf: Record<ErrorCode, number> = {
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  invalid: 400,
  conflict: 409,
  gap: 409,
  too_large: 413,
  rate_limited: 429,
  store_failed: 503,
  draining: 503,
  unsupported: 400,
  protocol_too_old: 400,
  protocol_too_new: 400,
  capability_missing: 400,
  internal: 500,
};

/** The REST API under `/api`, health and metrics at the root, and the dashboard's files elsewhere. */
export function createApp(parts: AppParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', parts.callers.trustedProxies);
  app.use(logRequests(parts.log), cutOffStalledReaders());
  app.use((request, response, next) => {
    const caller = parts.callers.of(request);
    response.locals['caller'] = caller;
    if (caller.kind !== 'address') parts.onKnown(request);
    next();
  });
  app.use((request, _response, next) => {
    const refusal = refusedRequest(request, parts.guard);
    next(refusal === null ? undefined : new Refusal('forbidden', refusal));
  });
  app.use(
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] },
      },
      // The hub speaks plain HTTP on a private address; a proxy that adds TLS adds this header too.
      strictTransportSecurity: false,
      // Works in secure contexts only; on a plain HTTP address browsers warn about it.
      originAgentCluster: false,
      crossOriginOpenerPolicy: false,
    }),
  );

  const [limit, watchers] = [limited(requestBudgets), onlyWatchers(parts)];
  app.use(healthRoutes(parts));
  app.use('/metrics', limit, watchers);
  app.use(metricsRoutes(parts));
  const api = express.Router();
  api.use(compressAnswers());
  api.use((_request, response, next) => {
    response.set('Cache-Control', 'no-store');
    next();
  });
  api.use(sessionRoutes(parts));
  api.use(limit, watchers);
  api.use(express.json({ limit: '256kb' }));
  api.use(
    catalogRoutes(),
    runRoutes(parts),
    historyRoutes(parts),
    eventRoutes(parts),
    seriesRoutes(parts),
    largeEventRoutes(parts),
    evaluationRoutes(parts),
    analysisRoutes(parts),
    exportRoutes(parts),
    commandRoutes(parts),
    backupRoutes(parts),
  );
  api.use((request) => {
    throw new Refusal('not_found', `There is no ${request.method} ${request.baseUrl}${request.path}.`);
  });
  app.use('/api', api);
  app.use(dashboardFiles(parts.webDir));
  app.use(answerErrors(parts.onError));
  return app;
}

/** Logs requests without the query, which may carry a link's token, and without headers. */
function logRequests(log: Logger): RequestHandler {
  return (request, response, next) => {
    const startMs = performance.now();
    const { method, path } = request;
    response.once('close', () =>
      log.debug({ method, path, status: response.statusCode, ms: Math.round(performance.now() - startMs) }, 'request'),
    );
    next();
  };
}

function answerErrors(onError: (error: unknown) => void): ErrorRequestHandler {
  // Express recognises an error handler by its four parameters.
  return (error: unknown, _request, response, _next) => {
    if (error instanceof ReadAbandonedError) return void response.destroy();
    const wireError = bodyError(error) ?? toWireError(error);
    if (hasGone(error)) return void response.destroy();
    if (wireError.code === 'internal' || wireError.code === 'store_failed') onError(error);
    // Too late for an error answer: closing the connection shows that the answer is incomplete.
    if (response.headersSent) return void response.destroy();
    const retryAfterS =
      error instanceof ReadTooLargeError || error instanceof ReadInterruptedError
        ? 10
        : error instanceof Refusal
          ? error.retryAfterS
          : undefined;
    if (retryAfterS !== undefined) response.set('Retry-After', String(retryAfterS));
    // 503 means a busy hub, 429 a client that asks too often.
    const status = retryAfterS === undefined ? statusOf[wireError.code] : 503;
    // The answer that failed may have been a download.
    response.removeHeader('Content-Disposition');
    response
      .status(status)
      .type('json')
      .json({ error: wireError } satisfies ErrorBody);
  };
}

/** Whether the client left before it had its answer. */
const hasGone = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ECONNABORTED';

/** Request faults that Express finds before any route runs. */
function bodyError(error: unknown): WireError | null {
  if (!(error instanceof Error) || !('type' in error || 'status' in error)) return null;
  if ('type' in error && error.type === 'entity.too.large')
    return {
      code: 'too_large',
      message: `The request body is above ${'limit' in error ? Number(error.limit) / 1024 : 256} kB.`,
      retry: false,
    };
  if ('status' in error && typeof error.status === 'number' && error.status >= 400 && error.status < 500)
    return { code: 'invalid', message: `The request cannot be read: ${error.message}`, retry: false };
  return null;
}
