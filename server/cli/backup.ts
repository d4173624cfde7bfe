import { createWriteStream, existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import type { Command } from 'commander';
import type { ErrorBody } from '@plumbline/shared/http';
import { tokenHeader } from '../access/trainer-token.js';
import { readConfig, type HubConfig } from '../config.js';
import { say } from '../terminal.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { openStore, storeFile } from '../store/open-store.js';
import { makeBackup, restoreBackup } from '../operations/backup.js';
import { runningHub } from '../operations/running-hub.js';

/** `plumbline backup` and `plumbline restore-backup`. */
export function addBackupCommands(program: Command): void {
  program
    .command('backup')
    .description('copy runs, series, commands and checkpoints to an empty folder, with the hub running or not')
    .argument('<folder>', 'empty or new')
    .option('--data-dir <folder>', 'data folder of the hub')
    .action(async (folder: string, { dataDir }: { dataDir?: string }) => {
      const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      if (config.store.kind === 'influx')
        throw new Error(
          'Runs are in InfluxDB: back them up with `influx backup`, and the data folder, which holds the checkpoints, with your own tools.',
        );
      const { files, bytes } = await backup(config, resolve(folder));
      say(`${folder} holds ${files} files, ${(bytes / 1e6).toFixed(1)} MB.`);
    });

  program
    .command('restore-backup')
    .description('create a new data folder from a backup')
    .argument('<folder>', 'what `npm run plumbline -- backup` wrote')
    .requiredOption('--data-dir <folder>', 'empty or new')
    .action(async (folder: string, { dataDir }: { dataDir: string }) => {
      const createdMs = await restoreBackup(resolve(folder), { dataDir: resolve(dataDir), storeFile, releaseRuns });
      say(
        `${dataDir} is as it was at ${new Date(createdMs).toISOString()}. ` +
          `Start a hub on it with: npm run plumbline -- start --data-dir ${dataDir}`,
      );
    });
}

async function backup(config: HubConfig, folder: string): Promise<{ files: number; bytes: number }> {
  const { dataDir } = config;
  const url = await runningHub(dataDir);
  // A running hub keeps a deleted store open, and can still back it up.
  if (url === null && !existsSync(join(dataDir, storeFile)))
    throw new Error(`There is no store in ${dataDir}. Name the hub's data folder with --data-dir.`);
  const copyStore = url === null ? copyStopped(dataDir) : copyRunning(url, tokenHeader(config));
  return makeBackup({ dataDir, storeFile, copyStore }, folder);
}

/** Copies the store of a stopped hub. @throws StoreInUseError when a hub runs after all */
const copyStopped = (dataDir: string) => async (path: string) => {
  const store = openStore({ dataDir, store: { kind: 'embedded' } });
  try {
    if (!store.copyTo) throw new Error('This store is on a server of its own; use the backup tools of that server.');
    await store.copyTo(path);
  } finally {
    await store.close();
  }
};

/** Removes the trainers' secrets: each run then belongs to the first trainer that attaches with a secret. */
async function releaseRuns(path: string): Promise<void> {
  const store = new EmbeddedStore(path);
  try {
    for (const { lastSeq: _s, lastStep: _t, trainerSecretDigest, ...run } of await store.runs())
      if (trainerSecretDigest !== undefined) await store.updateRun(run);
  } finally {
    await store.close();
  }
}

const copyRunning = (url: string, headers: Record<string, string>) => async (path: string) => {
  const response = await fetch(`${url}/api/backup`, { method: 'POST', headers });
  if (!response.ok || !response.body) {
    const { error } = (await response.json()) as ErrorBody;
    throw new Error(`The hub at ${url} gave no backup: ${error.message}`);
  }
  await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(path, { mode: 0o600 }));
};
