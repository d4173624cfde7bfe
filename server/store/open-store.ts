import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreConfig } from '../config.js';
import { EmbeddedStore } from './embedded-store.js';
import type { EventStore } from './event-store.js';
import { InfluxStore } from './influx-store.js';

export const storeKinds = ['embedded', 'influx'] as const;
export type StoreKind = (typeof storeKinds)[number];

/** File name of the embedded store in a data folder. */
export const storeFile = 'plumbline.duckdb';

interface OpenOptions {
  /** Refuses to create an empty store; for callers that only read. */
  mustExist?: boolean;
  /** Reports a problem that does not stop the store. */
  onProblem?: (message: string) => void;
  /** Reports that such a problem is over. */
  onMended?: (message: string) => void;
}

/** Creates the configured store, which opens at its first use. */
export function openStore(
  { dataDir, store, memory }: { dataDir: string; store: StoreConfig; memory?: { storeBytes: number } },
  { mustExist = false, onProblem = console.error, onMended = console.error }: OpenOptions = {},
): EventStore {
  if (store.kind === 'influx')
    return new InfluxStore({ ...store, spoolFolder: join(dataDir, 'spool'), onProblem, onMended });
  const path = join(dataDir, storeFile);
  if (mustExist && !existsSync(path))
    throw new Error(`There are no runs in ${dataDir}. Name the data folder of a hub with --data-dir.`);
  return new EmbeddedStore(path, { ...(memory && { memoryBytes: memory.storeBytes }), onProblem, onMended });
}
