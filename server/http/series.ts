import { Router } from 'express';
import { toWireNumber, wallTimeSeries } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import { declaredIn, type SeriesResponse } from '@plumbline/shared/series';
import { outlines } from '../run/control-events.js';
import type { RunRegistry } from '../run/registry.js';
import type { LastPoint } from '../store/event-store.js';
import { inTurns } from '../turn.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

/** GET /api/runs/:runId/series: the declaration and the last value of each series; a `SeriesResponse`. */
export function seriesRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router().get(
    '/runs/:runId/series',
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      const { segments } = await runs.get(runId);
      const known = new Map<string, SeriesResponse['series'][number]>();
      const take = outlines((event) => {
        for (const [name, { number: _, ...facts }] of declaredIn([event])) known.set(name, { ...facts, last: null });
      });
      await runs.store.eachControlEvents(runId, take, { types: ['run_started', 'series_declared'], signal });
      const { lastSeq, points } = await runs.store.lastPoints(runId, { segments }, signal);
      points.delete(wallTimeSeries);
      await inTurns(([name, { step, value }]: [string, LastPoint]) => {
        known.set(name, { name, ...known.get(name), last: { step, value: toWireNumber(value) } });
      })([...points]);
      const answer = new JsonAnswer(response, signal);
      await answer.write(`{"runId":${JSON.stringify(runId)},"lastSeq":${lastSeq},"series":[`);
      const list = answer.list();
      for (const series of known.values()) await list([JSON.stringify(series)]);
      answer.end(']}');
    }),
  );
}
