import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Router } from 'express';
import type { Sessions } from '../access/sessions.js';
import { Refusal } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { mayOperate } from './session.js';

export interface BackupParts extends ReadParts {
  runs: RunRegistry;
  sessions: Sessions;
  token: string;
  dataDir: string;
}

/** POST /api/backup: a consistent copy of the store, as a file. The hub continues to store meanwhile. */
export function backupRoutes({ runs, sessions, token, dataDir, reads }: BackupParts): Router {
  const path = join(dataDir, 'backup.partial.duckdb');
  const clear = async () => {
    for (const file of [path, `${path}.wal`]) await rm(file, { force: true });
  };
  let underWay = false;
  return Router().post(
    '/backup',
    mayOperate(sessions, token),
    heavy(reads.downloads, async (_request, response) => {
      if (!runs.store.copyTo)
        throw new Refusal('unsupported', 'This store is on a server of its own; use the backup tools of that server.');
      if (underWay) throw new Refusal('conflict', 'A backup is being made already; try again when it has ended.');
      underWay = true;
      try {
        // A killed hub may have left one.
        await clear();
        await runs.store.copyTo(path);
        // The reader may have left meanwhile.
        if (response.destroyed) return;
        await new Promise<void>((resolve, reject) =>
          response.type('application/octet-stream').sendFile(path, { dotfiles: 'allow' }, (error: Error | undefined) =>
            // A client that left half-way needs no answer.
            error && !response.headersSent ? reject(error) : resolve(),
          ),
        );
      } finally {
        await clear();
        underWay = false;
      }
    }),
  );
}
