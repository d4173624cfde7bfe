import { Router } from 'express';
import { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import type { CheckpointsResponse, DeletedRun, RunResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import { RunListQuery } from '@plumbline/shared/run-list';
import type { Sessions } from '../access/sessions.js';
import type { RunRegistry } from '../run/registry.js';
import { filterRuns, pageOf } from '../run/run-page.js';
import type { TrainerSupervisor } from '../run/trainer-supervisor.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';
import { mayControl, mayOperate } from './session.js';

/** How long a list waits for overviews that are read from the store. */
const overviewWaitMs = 100;

export interface RunParts extends ReadParts {
  runs: RunRegistry;
  supervisor: TrainerSupervisor;
  sessions: Sessions;
  token: string;
}

/** GET and POST /api/runs, GET and DELETE /api/runs/:runId, GET /api/runs/:runId/checkpoints. */
export function runRoutes({ runs, supervisor, sessions, token, reads }: RunParts): Router {
  return Router()
    .get('/runs', async (request, response) => {
      const query = RunListQuery.parse(request.query);
      const found = filterRuns(await runs.list(), query);
      const { overviews } = runs;
      if (query.sort.startsWith('value:')) await overviews.see(found, overviewWaitMs);
      const page = pageOf(found, query, (run, series) => overviews.lastValue(run, series));
      const texts = await overviews.of(page.runs, overviewWaitMs);
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const answer = new JsonAnswer(response, gone.signal);
      const write = answer.list();
      await answer.write('{"runs":[');
      // Writes each `ListedRun`; its overview is a JSON text already.
      for (const [i, run] of page.runs.entries())
        await write([`${JSON.stringify(run).slice(0, -1)},"overview":${texts[i] ?? null}}`]);
      const { next, total, going } = page;
      answer.end(`],${JSON.stringify({ next, total, going }).slice(1)}`);
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
      heavy(reads.answers, async (request, response, signal) => {
        const runId = RunId.parse(request.params['runId']);
        const checkpoints = (await runs.checkpoints(runId, signal)).map(({ checkpointId, step }) => ({
          checkpointId,
          step,
          isHere: supervisor.hasCheckpoint({ runId, checkpointId }),
        }));
        response.json({ checkpoints } satisfies CheckpointsResponse);
      }),
    );
}
