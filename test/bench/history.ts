import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { HistoryResponse } from '@plumbline/shared/http';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import type { EventStore, StoredRun } from '@plumbline/server/dist/store/event-store.js';
import { InfluxStore } from '@plumbline/server/dist/store/influx-store.js';
import { HubProcess } from '../support/hub-process.js';
import { InfluxServer } from '../support/influx-server.js';
import { quantile } from './quantile.js';

/**
 * Opening a run of a million steps: milliseconds until the hub has answered a browser's first request (see
 * web/lib/run-feed.ts: every series, 4,000 points each), on both stores alternately. Every one of the spikes at random
 * steps must be in the answer.
 */
const { values: flags } = parseArgs({
  options: { steps: { type: 'string', default: '1000000' }, requests: { type: 'string', default: '30' } },
});
const [steps, requests] = [Number(flags.steps), Number(flags.requests)];
/** The browser's value; enough for 1,500 pixels. */
const maxPoints = 4000;
const runId = RunId.parse('bench-history');
/** One in every hundredth of the run, alternately up and down, so that none hides another at any resolution. */
const spikeCount = 100;
const spikes = new Map(
  Array.from({ length: spikeCount }, (_, i) => [
    1 + Math.floor(((i + Math.random()) * steps) / spikeCount),
    (i % 2 ? 100 : -100) - i,
  ]),
);
const loss = (step: number): number => spikes.get(step) ?? 2 / Math.sqrt(step / 1000 + 1) + Math.random() * 0.1;

const folder = mkdtempSync(join(tmpdir(), 'plumbline-bench-history-'));
const dirs = { embedded: join(folder, 'embedded'), influx: join(folder, 'influx') };
const server = await InfluxServer.start();
const bucket = await server.bucket();
const hubs: HubProcess[] = [];
try {
  const { url, org, token } = server;
  mkdirSync(dirs.embedded);
  const embedded = new EmbeddedStore(join(dirs.embedded, 'plumbline.duckdb'));
  await fill('embedded', embedded);
  await embedded.close();
  const influx = new InfluxStore({ url, org, token, bucket, spoolFolder: join(dirs.influx, 'spool') });
  await fill('influx', influx);
  if (!(await influx.drained(300_000))) throw new Error('InfluxDB did not take everything within 300 s.');
  await influx.close();

  process.env['PLUMBLINE_STORE'] = 'embedded';
  hubs.push(await HubProcess.start({ dataDir: dirs.embedded }));
  Object.assign(process.env, {
    ...{ PLUMBLINE_STORE: 'influx', PLUMBLINE_INFLUX_URL: url, PLUMBLINE_INFLUX_ORG: org },
    ...{ PLUMBLINE_INFLUX_BUCKET: bucket, PLUMBLINE_INFLUX_TOKEN: token },
  });
  hubs.push(await HubProcess.start({ dataDir: dirs.influx }));
  const timesMs: [number[], number[]] = [[], []];
  let found = spikes.size;
  for (let request = -2; request < requests; request++)
    for (const [i, hub] of hubs.entries()) {
      const startMs = performance.now();
      const text = await (await fetch(`${hub.url}/api/runs/${runId}/history?maxPoints=${maxPoints}`)).text();
      if (request >= 0) timesMs[i]!.push(performance.now() - startMs);
      const { series, lastSeq } = JSON.parse(text) as HistoryResponse;
      if (lastSeq !== steps) throw new Error(`${hub.url} knows ${lastSeq} of ${steps} steps.`);
      const shown = new Set(series['train/loss']!.values);
      found = Math.min(found, [...spikes.values()].filter((value) => shown.has(value)).length);
    }
  console.log(
    JSON.stringify({
      benchmark: 'history',
      steps,
      spikes: spikes.size,
      spikesFound: found,
      embeddedP50Ms: quantile(timesMs[0], 0.5),
      embeddedP95Ms: quantile(timesMs[0], 0.95),
      influxP50Ms: quantile(timesMs[1], 0.5),
      influxP95Ms: quantile(timesMs[1], 0.95),
    }),
  );
} finally {
  for (const hub of hubs) await hub.stop();
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
}

async function fill(name: string, store: EventStore): Promise<void> {
  const startMs = performance.now();
  const createdMs = 1_700_000_000_000;
  const run: StoredRun = {
    ...{
      runId,
      description: describeRun(RunConfig.parse({ name: 'bench' })),
      parent: null,
      state: 'stopped',
      reason: '',
      trainer: null,
    },
    ...{ createdMs, startedMs: createdMs, endedMs: createdMs },
  };
  await store.createRun(run);
  const batch = 5000;
  for (let from = 1; from <= steps; from += batch)
    await store.append(
      runId,
      Array.from({ length: Math.min(batch, steps - from + 1) }, (_, i): TrainerEvent => {
        const step = from + i;
        const metrics = { 'train/loss': loss(step) };
        return { type: 'step_completed', seq: step, step, stage: 0, wallTimeMs: createdMs + step * 137, metrics };
      }),
    );
  await store.updateRun(run);
  console.log(`${name}: ${steps} steps written in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}
