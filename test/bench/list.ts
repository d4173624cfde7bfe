import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { RunListResponse } from '@plumbline/shared/run-list';
import { residentMb } from '../support/process-memory.js';
import { HubProcess } from '../support/hub-process.js';
import { storeManyRuns } from '../support/many-runs.js';
import { quantile } from './quantile.js';

/**
 * Listing a thousand runs with their overviews in one request: milliseconds until the answer is read and parsed, the
 * time to make the overviews first, and the first list after a restart.
 */
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    requests: { type: 'string', default: '50' },
    'data-dir': { type: 'string' },
  },
});
const [runs, requests] = [Number(flags.runs), Number(flags.requests)];
const dataDir = flags['data-dir'] ?? mkdtempSync(join(tmpdir(), 'plumbline-bench-list-'));
let hub: HubProcess | undefined;
try {
  await storeManyRuns(dataDir, runs);
  hub = await HubProcess.start({ dataDir });
  const { url } = hub;
  const list = async (): Promise<{ list: RunListResponse; ms: number; bytes: number }> => {
    const startMs = performance.now();
    const answer = await fetch(`${url}/api/runs?limit=${Math.min(runs, 1000)}`, {
      headers: { 'accept-encoding': 'gzip' },
    });
    const text = await answer.text();
    const list = JSON.parse(text) as RunListResponse;
    return { list, ms: performance.now() - startMs, bytes: text.length };
  };
  const startMs = performance.now();
  const first = await list();
  while ((await list()).list.runs.some(({ overview }) => overview === null)) await sleep(200);
  const overviewsMs = performance.now() - startMs;
  await list();
  const timesMs: number[] = [];
  let bytes = 0;
  for (let request = 0; request < requests; request++) {
    const answer = await list();
    timesMs.push(answer.ms);
    bytes = answer.bytes;
    if (answer.list.runs.length !== Math.min(runs, 1000))
      throw new Error(`${answer.list.runs.length} runs were listed.`);
  }
  const memoryMb = Math.round(residentMb(hub.processId));
  // Overviews of ended runs are written a moment after they are made.
  await sleep(1000);
  await hub.stop();
  hub = await HubProcess.start({ dataDir });
  const restarted = await fetch(`${hub.url}/api/runs?limit=1`).then(async (answer) => {
    await answer.text();
    const startMs = performance.now();
    const text = await (await fetch(`${hub!.url}/api/runs`)).text();
    return { ms: performance.now() - startMs, list: JSON.parse(text) as RunListResponse };
  });
  console.log(
    JSON.stringify({
      benchmark: 'list',
      runs,
      p50Ms: quantile(timesMs, 0.5),
      p95Ms: quantile(timesMs, 0.95),
      answerKb: Math.round(bytes / 1024),
      firstMs: Math.round(first.ms),
      overviewsMs: Math.round(overviewsMs),
      afterRestartMs: Math.round(restarted.ms),
      afterRestartUnknown: restarted.list.runs.filter(({ overview }) => overview === null).length,
      memoryMb,
    }),
  );
} finally {
  await hub?.stop();
  if (flags['data-dir'] === undefined) rmSync(dataDir, { recursive: true, force: true });
}
