import { Router, type RequestHandler } from 'express';
import { LargeEventsQuery } from '@plumbline/shared/http';
import type { LargeEvent } from '@plumbline/shared/large-event';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

/**
 * GET /api/runs/:runId/token-shifts and /examples: the newest events in a range of steps, ascending, without superseded
 * ones; a `LargeEventsResponse`.
 */
export function largeEventRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  const events = (type: LargeEvent['type']): RequestHandler =>
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      const range = LargeEventsQuery.parse(request.query);
      const { segments } = await runs.get(runId);
      const answer = new JsonAnswer(response, signal);
      await answer.write(`{"runId":${JSON.stringify(runId)},"events":[`);
      const { lastSeq, earlier } = await runs.store.eachLargeEvent(
        runId,
        { type, segments, ...range },
        answer.list(),
        signal,
      );
      answer.end(`],"earlier":${earlier},"lastSeq":${lastSeq}}`);
    });
  return Router()
    .get('/runs/:runId/token-shifts', events('token_shift'))
    .get('/runs/:runId/examples', events('examples'));
}
