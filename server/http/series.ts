import { Router } from 'express';
import { toWireNumber, wallTimeSeries } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import { declarationsOf } from '@plumbline/shared/series-facts';
import type { SeriesDeclaration, SeriesFacts, SeriesResponse } from '@plumbline/shared/series';
import { eachOutline } from '../run/control-events.js';
import type { RunRegistry } from '../run/registry.js';
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
      const declared = new Map<string, SeriesDeclaration>();
      const declare = inTurns((series: SeriesDeclaration) => void declared.set(series.name, series));
      await eachOutline(runs.store, runId, (event) => declare(declarationsOf(event)), {
        ...{ types: ['run_started', 'series_declared'], signal },
      });
      const { lastSeq, points } = await runs.store.lastPoints(runId, { segments }, signal);
      points.delete(wallTimeSeries);
      const answer = new JsonAnswer(response, signal);
      await answer.write(`{"runId":${JSON.stringify(runId)},"lastSeq":${lastSeq},"series":[`);
      const list = answer.list();
      const write = ({ number: _, ...facts }: SeriesFacts & { number?: number }): Promise<void> => {
        const point = points.get(facts.name);
        const last = point ? { step: point.step, value: toWireNumber(point.value) } : null;
        return list([JSON.stringify({ ...facts, last } satisfies SeriesResponse['series'][number])]);
      };
      for (const series of declared.values()) await write(series);
      for (const name of points.keys()) if (!declared.has(name)) await write({ name });
      answer.end(']}');
    }),
  );
}
