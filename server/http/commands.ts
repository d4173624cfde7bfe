import { Router } from 'express';
import type { RulesResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { RunService } from '../run/run-service.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

/**
 * GET /api/runs/:runId/commands: the audit log, oldest first, a `CommandsResponse`; /api/runs/:runId/rules: where the
 * run's rules stand.
 */
export function commandRoutes({ runs, reads, clientOf }: ReadParts & { runs: RunService }): Router {
  return Router()
    .get(
      '/runs/:runId/commands',
      heavy(reads.answers, clientOf, async (request, response, signal) => {
        const runId = RunId.parse(request.params['runId']);
        await runs.get(runId);
        const answer = new JsonAnswer(response, signal);
        await answer.write('{"commands":[');
        await runs.store.eachCommands(runId, answer.list(), signal);
        answer.end(']}');
      }),
    )
    .get(
      '/runs/:runId/rules',
      // Of an ended run it takes reading the series that its rules watch.
      heavy(reads.answers, clientOf, async (request, response) => {
        response.json({ rules: await runs.ruleStates(RunId.parse(request.params['runId'])) } satisfies RulesResponse);
      }),
    );
}
