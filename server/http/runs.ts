import { Router } from 'express';
import { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import type { CheckpointsResponse, DeletedRun, RunList, RunResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { Sessions } from '../access/sessions.js';
import type { RunRegistry } from '../run/registry.js';
import type { TrainerSupervisor } from '../run/trainer-supervisor.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { mayControl, mayOperate } from './session.js';

export interface RunParts extends ReadParts {
  runs: RunRegistry;
  supervisor: TrainerSupervisor;
  sessions: Sessions;
  token: string;
}

/** GET and POST /api/runs, GET and DELETE /api/runs/:runId, GET /api/runs/:runId/checkpoints. */
export function runRoutes({ runs, supervisor, sessions, token, reads }: RunParts): Router {
  return Router()
    .get('/runs', async (_request, response) => {
      response.json({ runs: await runs.list() } satisfies RunList);
    })
    .post('/runs', mayOperate(sessions, token), async (request, response) => {
      const run = await supervisor.start(StartRunRequest.parse(request.body));
      response.status(201).json({ run } satisfies RunResponse);
    })
    .get('/runs/:runId', async (request, response) => {
      const run = await runs.get(RunId.parse(request.params.runId));
      response.json({ run } satisfies RunResponse);
    })
    .delete('/runs/:runId', mayControl(sessions), async (request, response) => {
      const runId = RunId.parse(request.params['runId']);
      const by = `session ${sessions.nameOf(request.headers.cookie)} from ${request.ip ?? 'nowhere'}`;
      response.json((await runs.delete(runId, by)) satisfies DeletedRun);
    })
    .get(
      '/runs/:runId/checkpoints',
      heavy(reads.answers, async (request, response) => {
        const runId = RunId.parse(request.params['runId']);
        const checkpoints = (await runs.checkpoints(runId)).map(({ checkpointId, step }) => ({
          checkpointId,
          step,
          isHere: supervisor.hasCheckpoint({ runId, checkpointId }),
        }));
        response.json({ checkpoints } satisfies CheckpointsResponse);
      }),
    );
}
