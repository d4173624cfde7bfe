import { Router } from 'express';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

/** GET /api/runs/:runId/events: its control events, ascending; a `ControlEventsResponse`. */
export function eventRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router().get(
    '/runs/:runId/events',
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      await runs.get(runId);
      const answer = new JsonAnswer(response, signal);
      await answer.write(`{"runId":${JSON.stringify(runId)},"events":[`);
      const { lastSeq } = await runs.store.eachControlEvents(runId, answer.list(), { signal });
      answer.end(`],"lastSeq":${lastSeq}}`);
    }),
  );
}
