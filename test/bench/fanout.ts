import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Cluster } from '../support/cluster.js';
import { HubProcess } from '../support/hub-process.js';
import { peakMb } from '../support/process-memory.js';
import type { FanoutClientResult } from './fanout-clients.js';
import type { SenderOptions, SenderResult } from './ingest-sender.js';

/**
 * One run, many browsers: milliseconds from the trainer's `emit` to each of 200 browsers at 500 values a second, while
 * 20 more have stopped reading. Then a second run at full speed that only those 20 watch: the hub's buffers for them
 * must stay bounded. Hub, trainer and browsers are separate processes. With `--hubs 2` the trainer uses one hub and the
 * browsers another, on one Redis and one InfluxDB.
 */
const { values: flags } = parseArgs({
  options: {
    readers: { type: 'string', default: '200' },
    stalled: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '20' },
    floodSeconds: { type: 'string', default: '10' },
    hubs: { type: 'string', default: '1' },
  },
});
const [readers, stalled] = [Number(flags.readers), Number(flags.stalled)];
const programOf = (name: string): string => fileURLToPath(new URL(`${name}.js`, import.meta.url));

const cluster = flags.hubs === '2' ? await Cluster.start() : null;
const trainersHub = cluster?.hubs[0] ?? (await HubProcess.start());
const browsersHub = cluster?.hubs[1] ?? trainersHub;
const options = JSON.stringify({ url: browsersHub.url, readers, stalled });
const clients = spawn(process.execPath, [programOf('fanout-clients'), options], { stdio: ['pipe', 'pipe', 'inherit'] });
const answers = createInterface({ input: clients.stdout })[Symbol.asyncIterator]();
try {
  await answer();
  const idleMb = peakMemoryMb();
  const calmRun = send({ runId: 'bench-calm', seconds: Number(flags.seconds), metricsPerStep: 50, valuesPerS: 500 });
  await there('bench-calm');
  await ask('watch bench-calm');
  const calm = await calmRun;
  const calmMb = peakMemoryMb();
  const result = JSON.parse(await ask('result')) as FanoutClientResult;
  if (result.events === 0) throw new Error('Nothing came to the browsers.');

  const flooding = send({ runId: 'bench-flood', seconds: Number(flags.floodSeconds), metricsPerStep: 100 });
  await there('bench-flood');
  await ask('flood bench-flood');
  const flood = await flooding;
  const metrics = await (await fetch(`${browsersHub.url}/metrics`)).text();
  const [, lagging] = /^plumbline_dashboards_lagging (\d+)/m.exec(metrics) ?? [];
  console.log(
    JSON.stringify({
      ...{
        benchmark: 'fanout',
        hubs: Number(flags.hubs),
        readers,
        stalled,
        valuesPerS: Math.round(calm.values / calm.seconds),
      },
      ...result,
      ...{ floodValuesPerS: Math.round(flood.values / flood.seconds), lagging: Number(lagging) },
      ...{ idleMemoryMb: idleMb, calmMemoryMb: calmMb, peakMemoryMb: peakMemoryMb() },
    }),
  );
} finally {
  clients.kill();
  await (cluster ?? trainersHub).remove();
}

async function send(options: Partial<SenderOptions>): Promise<SenderResult> {
  const token = cluster
    ? await cluster.trainerToken()
    : readFileSync(join(trainersHub.dataDir, 'trainer-token'), 'utf8');
  const all = { url: trainersHub.url, token, valuesPerS: null, ...options };
  const { stdout } = await promisify(execFile)(process.execPath, [programOf('ingest-sender'), JSON.stringify(all)]);
  return JSON.parse(stdout) as SenderResult;
}

async function there(runId: string): Promise<void> {
  while (!(await fetch(`${browsersHub.url}/api/runs/${runId}`)).ok) await sleep(50);
}

async function ask(order: string): Promise<string> {
  clients.stdin.write(`${order}\n`);
  return answer();
}
async function answer(): Promise<string> {
  const line = await answers.next();
  if (line.done) throw new Error('The process of the browsers has ended.');
  return line.value;
}

/** Peak memory of the browsers' hub. */
function peakMemoryMb(): number {
  return Math.round(peakMb(browsersHub.processId));
}
