import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Router } from 'express';
import { RunId } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { jsonLines } from '../transfer/jsonl-file.js';
import { archiveOf } from '../transfer/run-archive.js';
import { exportBudget } from '../access/limits.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { limited } from './rate-limit.js';

export interface ExportParts extends ReadParts {
  runs: RunRegistry;
  onError: (error: unknown) => void;
}

/**
 * GET /api/runs/:runId/export: all that is stored of a run, as `plumbline export` writes it. It is written as it is read,
 * as fast as the receiver takes it; an answer without its last line, the digest, broke off.
 */
export function exportRoutes({ runs, reads, onError }: ExportParts): Router {
  return Router().get(
    '/runs/:runId/export',
    limited(exportBudget),
    heavy(reads.downloads, async (request, response, signal) => {
      const runId = RunId.parse(request.params['runId']);
      await runs.whole(runId, async () => {
        const archive = await archiveOf(runs.store, runId);
        response.attachment(`${runId}.jsonl`).type('application/x-ndjson');
        try {
          await pipeline(Readable.from(jsonLines(archive)), response, { signal });
        } catch (error) {
          // Too late for an error answer: the connection is closed, which the receiver sees. That it left is no fault.
          const isGone = signal.aborted || (error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE';
          if (!isGone) onError(error);
        }
      });
    }),
  );
}
