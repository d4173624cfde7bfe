import { Router } from 'express';
import { toWireNumber, wallTimeSeries } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import { declaredIn, type SeriesResponse } from '@plumbline/shared/series';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';

/** Fewest points of a series that a store answers: its last one is among them. */
const fewestPoints = 5;

/** GET /api/runs/:runId/series: what is known of each series, with its last value; a `SeriesResponse`. */
export function seriesRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router().get(
    '/runs/:runId/series',
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      await runs.get(runId);
      const events: ControlEvent[] = [];
      const take = (texts: readonly string[]): void =>
        void events.push(...texts.map((text) => JSON.parse(text) as ControlEvent));
      await runs.store.eachControlEvents(runId, take, { types: ['run_started', 'series_declared'], signal });
      const known = new Map<string, SeriesResponse['series'][number]>();
      for (const [name, { number: _, ...facts }] of declaredIn(events)) known.set(name, { ...facts, last: null });
      const { lastSeq } = await runs.store.eachSeries(
        runId,
        { maxPoints: fewestPoints },
        (name, { steps, values }) => {
          if (name === wallTimeSeries) return;
          const last = { step: steps.at(-1)!, value: toWireNumber(values.at(-1)!) };
          known.set(name, { name, ...known.get(name), last });
        },
        signal,
      );
      response.json({ runId, lastSeq, series: [...known.values()] } satisfies SeriesResponse);
    }),
  );
}
