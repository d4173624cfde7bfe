import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import type { WindowsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { DashboardToHub, HubToDashboard } from '@plumbline/shared/socket';
import { HubProcess } from '../support/hub-process.js';
import { peakMb, residentMb } from '../support/process-memory.js';
import type { SenderOptions, SenderResult } from './ingest-sender.js';
import { quantile } from './quantile.js';

/**
 * Does a hub's memory grow with its stored data? Four trainers send 20,000 values a second, two of them run after run,
 * beside a live dashboard, a reader of histories, and a reader of windows and findings. Hub and trainers are separate
 * processes. During the warm-up another trainer sends at full speed, so that the file outgrows DuckDB's share of the
 * memory: DuckDB fills that share once and keeps it, which does not count as growth. The last line is one JSON: the
 * slope of the hub's memory after the warm-up (least squares), its peak, acknowledged events that are not stored, and
 * the 99th percentile of acknowledgements and of histories.
 */
const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '15' },
    warmUp: { type: 'string', default: '3' },
    fillValues: { type: 'string', default: '16000000' },
    valuesPerS: { type: 'string', default: '20000' },
    memoryMb: { type: 'string', default: '1024' },
  },
});
const seconds = Number(flags.minutes) * 60;
const warmUpS = Number(flags.warmUp) * 60;
/** The length of each trainer's runs. */
const runSeconds = [seconds, seconds, Math.min(seconds, 60), Math.min(seconds, 60)];
const valuesPerS = Number(flags.valuesPerS) / runSeconds.length;
const metricsPerStep = 200;
const metric = 'drift/language_model.layers.0.mlp.up_proj';
const senderPath = fileURLToPath(new URL('ingest-sender.js', import.meta.url));

const hub = await HubProcess.start({ env: { PLUMBLINE_MEMORY_MB: flags.memoryMb } });
const token = hub.trainerToken;
const startMs = performance.now();
const elapsedS = (): number => (performance.now() - startMs) / 1000;
const isOver = (): boolean => elapsedS() >= seconds;
try {
  const memory: { s: number; mb: number }[] = [];
  const running = new Set<RunId>();
  const historyMs: number[] = [];
  const otherMs: number[] = [];
  let [liveEvents, refused, filled, lost] = [0, 0, 0, 0];
  const socket: Socket<HubToDashboard, DashboardToHub> = io(`${hub.url}/dashboard`, { transports: ['websocket'] });
  socket.on('metrics', ({ events }) => (liveEvents += events.length));
  socket.on('run', ({ runId, state }) => state === 'created' && socket.emit('watch', { runId }, () => {}));
  await once(socket as unknown as NodeJS.EventEmitter, 'connect');

  /** The body of an answer; undefined if the hub has refused. */
  const read = async (path: string, timesMs: number[]): Promise<string | undefined> => {
    const sentMs = performance.now();
    const answer = await fetch(hub.url + path);
    const body = await answer.text();
    if (answer.ok) timesMs.push(performance.now() - sentMs);
    if (answer.ok) return body;
    // Its trainer is about to open it.
    if (answer.status === 404) return undefined;
    if (answer.status !== 503) throw new Error(`${path}: ${answer.status} ${body}`);
    refused++;
    return undefined;
  };
  /** The number of acknowledged steps of a run that are not stored. */
  const missing = async (runId: RunId, { lastSeq }: Pick<SenderResult, 'lastSeq'>): Promise<number> => {
    const body = await read(`/api/runs/${runId}/windows?metric=${metric}`, []);
    // Refused temporarily, during other large reads.
    if (body === undefined) return sleep(1000).then(() => missing(runId, { lastSeq }));
    return lastSeq - 1 - (JSON.parse(body) as WindowsResponse).series[metric]!.counts[0]!;
  };
  const someRun = (): RunId | undefined => [...running][Math.floor(Math.random() * running.size)];
  const reader = async (paths: ((runId: RunId) => string)[], timesMs: number[]): Promise<void> => {
    for (let turn = 0; !isOver(); turn++) {
      const runId = someRun();
      if (runId) await read(paths[turn % paths.length]!(runId), timesMs);
      await sleep(2000);
    }
  };
  const watchMemory = async (): Promise<void> => {
    for (; !isOver(); await sleep(1000)) {
      memory.push({ s: elapsedS(), mb: residentMb(hub.processId) });
      if (memory.length % 60 === 0)
        console.log(`${Math.round(elapsedS() / 60)} min: ${Math.round(memory.at(-1)!.mb)} MB`);
    }
  };
  const sent: { runId: RunId; result: SenderResult }[] = [];
  const trainer = async (index: number): Promise<void> => {
    for (let round = 0; seconds - elapsedS() > 1; round++) {
      const runId = RunId.parse(`soak-${index}-${round}`);
      const runS = Math.min(runSeconds[index]!, seconds - elapsedS());
      running.add(runId);
      const result = await send({ url: hub.url, token, runId, seconds: runS, metricsPerStep, valuesPerS });
      running.delete(runId);
      sent.push({ runId, result });
    }
  };
  /** Its run is read until the end, like the others. */
  const fill = async (): Promise<void> => {
    const runId = RunId.parse('soak-fill');
    running.add(runId);
    const result = await send({
      ...{ url: hub.url, token, runId, metricsPerStep },
      ...{ seconds: warmUpS * 0.7, valuesPerS: null, maxValues: Number(flags.fillValues) },
    });
    filled = result.values;
    lost += await missing(runId, result);
  };
  const ofRuns = (path: string) => (runId: RunId) => `/api/runs/${runId}/${path}`;
  await Promise.all([
    fill(),
    ...runSeconds.map((_, index) => trainer(index)),
    watchMemory(),
    reader([ofRuns('history?maxPoints=2000')], historyMs),
    reader([ofRuns('windows?everySteps=100'), ofRuns('findings')], otherMs),
  ]);
  socket.close();

  for (const { runId, result } of sent) lost += await missing(runId, result);
  const afterWarmUp = memory.filter(({ s }) => s >= warmUpS);
  console.log(
    JSON.stringify({
      ...{ benchmark: 'soak', minutes: Number(flags.minutes), memoryMb: Number(flags.memoryMb), runs: sent.length },
      valuesFilled: filled,
      valuesPerS: Math.round(sent.reduce((sum, { result }) => sum + result.values, 0) / seconds),
      slopeMbPerMin: Number((60 * slopeOf(afterWarmUp)).toFixed(2)),
      warmMb: Math.round(afterWarmUp[0]?.mb ?? NaN),
      endMb: Math.round(memory.at(-1)!.mb),
      peakMb: Math.round(peakMb(hub.processId)),
      ...{ eventsLost: lost, liveEvents, readsRefused: refused },
      ackP99Ms: Math.max(...sent.map(({ result }) => result.ackP99Ms)),
      historyP50Ms: quantile(historyMs, 0.5),
      historyP99Ms: quantile(historyMs, 0.99),
      windowsAndFindingsP99Ms: quantile(otherMs, 0.99),
    }),
  );
} finally {
  await hub.remove();
}

async function send(options: SenderOptions): Promise<SenderResult> {
  const { stdout } = await promisify(execFile)(process.execPath, [senderPath, JSON.stringify(options)]);
  return JSON.parse(stdout) as SenderResult;
}

/** Least squares, in MB per second. */
function slopeOf(points: readonly { s: number; mb: number }[]): number {
  const mean = (of: (point: { s: number; mb: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [meanS, meanMb] = [mean(({ s }) => s), mean(({ mb }) => mb)];
  return mean(({ s, mb }) => (s - meanS) * (mb - meanMb)) / mean(({ s }) => (s - meanS) ** 2);
}
