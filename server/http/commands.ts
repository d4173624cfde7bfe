import { Router } from 'express';
import type { CommandsResponse, RulesResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';

/** GET /api/runs/:runId/commands: the audit log, oldest first; /api/runs/:runId/rules: where the run's rules stand. */
export function commandRoutes({ runs }: { runs: RunRegistry }): Router {
  return Router()
    .get('/runs/:runId/commands', async (request, response) => {
      const runId = RunId.parse(request.params.runId);
      await runs.get(runId);
      response.json({ commands: await runs.store.commands(runId) } satisfies CommandsResponse);
    })
    .get('/runs/:runId/rules', async (request, response) => {
      response.json({ rules: await runs.ruleStates(RunId.parse(request.params.runId)) } satisfies RulesResponse);
    });
}
