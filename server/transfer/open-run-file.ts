import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { openJsonl } from './jsonl-file.js';
import { UsageError } from '../usage-error.js';
import type { RunFile } from './run-archive.js';
import { largeEventsName, openTableFolder, recordName } from './table-folder.js';

/** Opens what `plumbline export` wrote, whatever its format. @throws UsageError if it is not there, TransferError */
export async function openRunFile(path: string): Promise<RunFile> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new UsageError(`There is no ${path}.`);
    throw error;
  });
  if (found.isDirectory()) return openTableFolder(path);
  // A file in the folder stands for the folder.
  if ([recordName, largeEventsName, 'points.parquet', 'points.csv'].includes(basename(path)))
    return openTableFolder(dirname(path));
  return openJsonl(path);
}
