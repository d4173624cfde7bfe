import { Router } from 'express';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { jsonLines } from '../transfer/jsonl-file.js';
import { archiveOf } from '../transfer/run-archive.js';
import { exportBudget } from '../access/limits.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';
import { limited } from './request-budget.js';

export interface ExportParts extends ReadParts {
  runs: RunRegistry;
}

/**
 * GET /api/runs/:runId/export: everything stored of a run, as `plumbline export` writes it. It is streamed as fast as the
 * receiver reads, and ends when the run is deleted. An answer without its last line, the digest, is incomplete.
 */
export function exportRoutes({ runs, reads }: ExportParts): Router {
  return Router().get(
    '/runs/:runId/export',
    limited(exportBudget),
    heavy(reads.downloads, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      await runs.whole(
        runId,
        async (ended) => {
          const archive = await archiveOf(runs.store, runId, ended);
          response.attachment(`${runId}.jsonl`).type('application/x-ndjson');
          const answer = new JsonAnswer(response, ended);
          for await (const lines of jsonLines(archive)) await answer.write(lines);
          answer.end('');
        },
        signal,
      );
    }),
  );
}
