import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreConfig } from '../config.js';
import { EmbeddedStore } from './embedded-store.js';
import type { EventStore } from './event-store.js';
import { InfluxStore } from './influx-store.js';

export const storeKinds = ['embedded', 'influx'] as const;
export type StoreKind = (typeof storeKinds)[number];

/** The embedded store's file in a data folder. */
export const storeFile = 'plumbline.duckdb';

interface OpenOptions {
  /** Refuses to make an empty one, for who wants to read. */
  mustExist?: boolean;
  /** Told of what a person has to know although the store goes on. */
  onProblem?: (message: string) => void;
  /** Told when such a thing is over. */
  onMended?: (message: string) => void;
}

/** Picks a store; it is opened at its first use. */
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
