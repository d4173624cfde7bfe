import { Router } from 'express';
import { HistoryQuery, maxAnswerValues, type HistoryResponse, type WireSeries } from '@plumbline/shared/http';
import { toWireNumber } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import type { Series } from '../store/event-store.js';

/** GET /api/runs/:runId/history: series of a run, whole or a range of steps, thinned to `maxPoints` each. */
export function historyRoutes({ runs }: { runs: RunRegistry }): Router {
  return Router().get('/runs/:runId/history', async (request, response) => {
    const runId = RunId.parse(request.params.runId);
    const { metric, ...range } = HistoryQuery.parse(request.query);
    await runs.get(runId);
    const metrics = typeof metric === 'string' ? [metric] : metric;
    const { lastSeq, series } = await runs.store.history(runId, { ...range, metrics, maxValues: maxAnswerValues });
    const wire = Object.fromEntries([...series].map(([name, columns]) => [name, toWire(columns)]));
    response.json({ runId, lastSeq, series: wire } satisfies HistoryResponse);
  });
}

function toWire({ steps, seqs, values, bucketSteps }: Series): WireSeries {
  return {
    steps: [...steps],
    seqs: [...seqs],
    values: Array.from(values, toWireNumber),
    bucketSteps,
  };
}
