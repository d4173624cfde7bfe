import { Router } from 'express';
import type { EvaluationsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { EvaluationCompleted } from '@plumbline/shared/trainer-event';
import { EvaluationTable } from '../analysis/evaluation-table.js';
import { intervalLevel } from '../analysis/proportion-interval.js';
import { storedInForce } from '../run/events-in-force.js';
import type { RunRegistry } from '../run/registry.js';
import { inTurns } from '../turn.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';

type TaskEvaluations = EvaluationsResponse['tasks'][number];

/**
 * GET /api/runs/:runId/evaluations: how the base model, each stage and each of WiSE-FT's weights answered, by task; an
 * `EvaluationsResponse`.
 */
export function evaluationRoutes({ runs, reads }: ReadParts & { runs: RunRegistry }): Router {
  return Router().get(
    '/runs/:runId/evaluations',
    heavy(reads.answers, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      const isInForce = await storedInForce(runs.store, await runs.get(runId), signal);
      const table = new EvaluationTable();
      const take = inTurns((text: string) => {
        const event = JSON.parse(text) as EvaluationCompleted;
        if (isInForce(event)) table.add(event);
      });
      await runs.store.eachControlEvents(runId, take, { types: ['evaluation_completed'], signal });
      const answer = new JsonAnswer(response, signal);
      await answer.write(`{"runId":${JSON.stringify(runId)},"level":${intervalLevel},"tasks":[`);
      const list = answer.list();
      for (const task of table.tasks) {
        await list([`{"task":${JSON.stringify(task.task)},"evaluations":[`]);
        await writeRows(answer, task);
        await answer.write(']}');
      }
      answer.end(']}');
    }),
  );
}

async function writeRows(answer: JsonAnswer, { evaluations }: TaskEvaluations): Promise<void> {
  const rows = answer.list();
  for (const row of evaluations) await rows([JSON.stringify(row)]);
}
