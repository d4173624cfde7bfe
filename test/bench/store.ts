import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { InfluxDB, Point } from '@influxdata/influxdb-client';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { InfluxStore } from '@plumbline/server/dist/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { quantile } from './quantile.js';

/**
 * The cost of a durable, ordered store: values per second through InfluxStore.append (spool synced to disk and
 * delivered, until InfluxDB has all) compared with the plain client's WriteApi, which keeps its lines in memory, with
 * the same points, also until InfluxDB has all. Both sides alternate on one server, each time in an empty bucket; bytes
 * are those of its compressed files.
 */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    steps: { type: 'string', default: '15000' },
    metrics: { type: 'string', default: '100' },
  },
});
const [rounds, steps, metricsPerStep] = [Number(flags.rounds), Number(flags.steps), Number(flags.metrics)];
const values = steps * metricsPerStep;
const eventsPerBatch = 50;
const batchesInFlight = 3;
const baseSecond = 1_700_000_000;
const groups = Array.from({ length: metricsPerStep }, (_, i) => `language_model.layers.${i}.mlp.up_proj`);
const numbers = Float64Array.from({ length: 1 << 16 }, () => Math.random());
const valueAt = (step: number, metric: number): number => numbers[(step * metricsPerStep + metric) % numbers.length]!;

const server = await InfluxServer.start();
const folder = mkdtempSync(join(tmpdir(), 'plumbline-bench-store-'));
try {
  const figures = { store: [] as number[], client: [] as number[] };
  let buckets = { store: '', client: '' };
  for (let round = 0; round <= rounds; round++) {
    buckets = { client: await server.bucket(), store: await server.bucket() };
    const sides = {
      client: async () => values / (await throughClient(buckets.client)),
      store: async () => values / (await throughStore(buckets.store, join(folder, `${round}`))),
    };
    let [client, store] = [0, 0];
    if (round % 2) client = await sides.client();
    store = await sides.store();
    if (!(round % 2)) client = await sides.client();
    if (round === 0) continue; // warms both up
    figures.client.push(client);
    figures.store.push(store);
    console.log(`round ${round}: store ${Math.round(store)} values/s, client ${Math.round(client)} values/s`);
  }
  const ratios = figures.store.map((store, i) => store / figures.client[i]!);
  // InfluxDB writes its compressed files after this idle time; within rounds that work would burden the other side.
  process.env['INFLUXD_STORAGE_CACHE_SNAPSHOT_WRITE_COLD_DURATION'] = '1s';
  await server.kill('SIGTERM');
  await server.launch();
  const bytes = { store: await bytesOf(buckets.store), client: await bytesOf(buckets.client) };
  console.log(
    JSON.stringify({
      benchmark: 'store',
      valuesPerS: Math.round(quantile(figures.store, 0.5)),
      clientValuesPerS: Math.round(quantile(figures.client, 0.5)),
      ratio: Number([...ratios].sort((a, b) => a - b)[Math.floor(ratios.length / 2)]!.toFixed(2)),
      bytesPerValue: Number((bytes.store / values).toFixed(1)),
      clientBytesPerValue: Number((bytes.client / values).toFixed(1)),
    }),
  );
} finally {
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
}

/** Waits until InfluxDB has compacted earlier points, so that this does not burden the next turn. */
async function settled(): Promise<void> {
  const ticks = (): number => {
    const stat = readFileSync(`/proc/${server.processId}/stat`, 'utf8').split(' ');
    return Number(stat[13]) + Number(stat[14]);
  };
  for (let before = -Infinity; ticks() - before > 10;) {
    before = ticks();
    await sleep(500);
  }
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  await settled();
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
}

/**
 * The client's fastest setting on this machine, of 5,000 to 50,000 lines per batch, with and without gzip.
 * @returns seconds
 */
async function throughClient(bucket: string): Promise<number> {
  const { url, org, token } = server;
  const stepsPerBatch = Math.ceil(50_000 / metricsPerStep);
  const agent = new Agent({ keepAlive: true });
  const influx = new InfluxDB({ url, token, timeout: 60_000, transportOptions: { agent } });
  const api = influx.getWriteApi(org, bucket, 'ns', {
    // `flush` sends and resolves when InfluxDB has stored all: a batch that is sent when full reports nothing.
    batchSize: 2 * stepsPerBatch * metricsPerStep,
    maxRetries: 0,
    gzipThreshold: Infinity,
  });
  let step = 0;
  const sender = async (): Promise<void> => {
    while (step < steps) {
      for (const to = Math.min(steps, step + stepsPerBatch); step < to;) {
        step++;
        const time = `${baseSecond + step}${String(step).padStart(9, '0')}`;
        api.writePoints(
          groups.map((group, i) =>
            new Point('drift')
              .tag('run', 'bench')
              .tag('group', group)
              .floatField('distance', valueAt(step, i))
              .timestamp(time),
          ),
        );
      }
      await api.flush();
    }
  };
  const seconds = await secondsOf(async () => {
    await Promise.all([sender(), sender()]);
    await api.close();
  });
  const query = `from(bucket: "${bucket}") |> range(start: 0) |> count() |> group() |> sum()`;
  const [row] = await influx.getQueryApi(org).collectRows<{ _value: number }>(query);
  if (row?._value !== values) throw new Error(`${values} values were written, ${row?._value} are in InfluxDB.`);
  agent.destroy();
  return seconds;
}

/** @returns seconds */
async function throughStore(bucket: string, spoolFolder: string): Promise<number> {
  const { url, org, token } = server;
  const store = new InfluxStore({ url, org, token, bucket, spoolFolder });
  const runId = RunId.parse('bench');
  await store.createRun({
    ...{
      runId,
      description: describeRun(RunConfig.parse({ name: 'bench' })),
      parent: null,
      state: 'created',
      reason: '',
      trainer: null,
    },
    ...{ createdMs: baseSecond * 1000, startedMs: null, endedMs: null },
  });
  let step = 0;
  const sender = async (): Promise<void> => {
    while (step < steps) {
      const from = step + 1;
      step = Math.min(steps, step + eventsPerBatch);
      await store.append(
        runId,
        Array.from({ length: step - from + 1 }, (_, i) => eventOf(from + i)),
      );
    }
  };
  const seconds = await secondsOf(async () => {
    await Promise.all(Array.from({ length: batchesInFlight }, sender));
    if (!(await store.drained(300_000))) throw new Error('InfluxDB did not take everything within 300 s.');
  });
  const counted = [...(await store.windows(runId, {}))].filter(([name]) => name.startsWith('drift/'));
  const stored = counted.reduce((sum, [, { counts }]) => sum + counts[0]!, 0);
  if (stored !== values) throw new Error(`${values} values were appended, ${stored} are in InfluxDB.`);
  await store.close();
  return seconds;
}

function eventOf(seq: number): TrainerEvent {
  const metrics: Record<string, number> = {};
  for (let i = 0; i < metricsPerStep; i++) metrics[`drift/${groups[i]}`] = valueAt(seq, i);
  return { type: 'step_completed', seq, step: seq, stage: 0, wallTimeMs: baseSecond * 1000 + seq * 137, metrics };
}

/** Bytes of a bucket after all of it is in compressed files. */
async function bytesOf(name: string): Promise<number> {
  const { buckets } = (await server.request('GET', `/api/v2/buckets?name=${name}`)) as { buckets: { id: string }[] };
  const sizeOf = (part: string, suffix: string): number => {
    const path = join(server.folder, 'engine', part, buckets[0]!.id);
    if (!existsSync(path)) return 0;
    return (readdirSync(path, { recursive: true }) as string[])
      .filter((file) => file.endsWith(suffix))
      .reduce((sum, file) => sum + statSync(join(path, file)).size, 0);
  };
  for (let attempt = 0; attempt < 60 && sizeOf('wal', '.wal') > 0; attempt++) await sleep(1000);
  return sizeOf('data', '.tsm');
}
