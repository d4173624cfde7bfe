import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { RunListResponse } from '@plumbline/shared/run-list';
import { readConfig } from '@plumbline/server/dist/config.js';
import { startHub } from '@plumbline/server/dist/main.js';
import { createLog } from '@plumbline/server/dist/operations/hub-log.js';
import { storeManyRuns } from '../support/many-runs.js';

/**
 * The memory that a hub keeps for each run that has ended: its JavaScript heap after a garbage collection, with few runs
 * and with many, and what the overviews of a list of some of them add.
 */
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    listed: { type: 'string', default: '200' },
    steps: { type: 'string', default: '5' },
  },
});
const [runs, listed, steps] = [Number(flags.runs), Number(flags.listed), Number(flags.steps)];
/** A hub with these has loaded all code that one with many runs has. */
const few = 10;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** KiB that the JavaScript of this process holds. */
async function heapKb(): Promise<number> {
  // Finalizers free more once they have run.
  for (let i = 0; i < 3; i++) {
    collect();
    await sleep(200);
  }
  return process.memoryUsage().heapUsed / 1024;
}

/** The heap of a hub with its runs loaded, and once overviews of the newest runs were listed. */
async function measure(dataDir: string, count: number): Promise<{ loadedKb: number; listedKb: number }> {
  const config = { ...readConfig(), port: 0, dataDir, logLevel: 'silent' as const };
  const hub = await startHub(config, createLog('silent'));
  const list = async (): Promise<RunListResponse> =>
    (await (await fetch(`${hub.url}/api/runs?limit=${count}`)).json()) as RunListResponse;
  // Loads the runs; it lists none.
  await fetch(`${hub.url}/api/runs?text=no+run+has+this`);
  const loadedKb = await heapKb();
  while ((await list()).runs.some(({ overview }) => overview === null)) await sleep(100);
  // Overviews of ended runs are written a moment after they are made.
  await sleep(1000);
  const listedKb = await heapKb();
  await hub.close();
  return { loadedKb, listedKb };
}

const folder = mkdtempSync(join(tmpdir(), 'plumbline-bench-ended-'));
try {
  const [small, large] = [join(folder, 'few'), join(folder, 'many')];
  const startMs = performance.now();
  await storeManyRuns(small, few, steps);
  await storeManyRuns(large, runs, steps);
  const storeSeconds = (performance.now() - startMs) / 1000;
  // The first start loads the code.
  await measure(small, few);
  const before = await measure(small, few);
  const after = await measure(large, listed);
  console.log(
    JSON.stringify({
      benchmark: 'ended-runs',
      ...{ runs, listed, steps },
      heapBeforeMb: Number((before.loadedKb / 1024).toFixed(1)),
      heapAfterMb: Number((after.loadedKb / 1024).toFixed(1)),
      kbPerRun: Number(((after.loadedKb - before.loadedKb) / (runs - few)).toFixed(2)),
      kbPerListedRun: Number(((after.listedKb - after.loadedKb) / listed).toFixed(2)),
      storeSeconds: Math.round(storeSeconds),
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
