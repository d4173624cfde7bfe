import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { heldOutAccuracy, metrics, targetAccuracy, weightDrift } from '@plumbline/shared/metric';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { ControlEventsResponse, HistoryResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { DashboardToHub, HubToDashboard } from '@plumbline/shared/socket';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import { storeFile } from '@plumbline/server/dist/store/open-store.js';
import { HubProcess } from '../support/hub-process.js';
import { residentMb } from '../support/process-memory.js';
import { quantile } from './quantile.js';

/**
 * Opening the page of a run of a million steps and 215 series: milliseconds until the data of the first four charts is
 * read, with the page's requests (web/lib/run-feed.ts): watch, then the history of their series. Also the last values
 * of a group, as on the map of the model, and all series at once, which no page asks for any more.
 */
const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    series: { type: 'string', default: '215' },
    requests: { type: 'string', default: '30' },
    /** Losses, rates and norms are part of every step, all others of probes; 1: every series in every step. */
    'probe-every': { type: 'string', default: '100' },
  },
});
const [steps, seriesCount, requests] = [Number(flags.steps), Number(flags.series), Number(flags.requests)];
/** The page's value. */
const maxPoints = 4000;
const runId = RunId.parse('bench-open');
/** The series of the charts at the top of the page. */
const firstCharts = [
  ...[metrics.numberTokensTarget, metrics.numberTokensHeldOut, targetAccuracy('counting'), metrics.heldOutMean],
  ...[metrics.kl, metrics.js, metrics.loss],
];
const everyStep: string[] = [metrics.loss, metrics.learningRate, metrics.gradientNorm, metrics.stepDurationMs];
const probed = firstCharts.filter((name) => !everyStep.includes(name));
const others = Array.from({ length: seriesCount - everyStep.length - probed.length }, (_, i) =>
  i < 10 ? heldOutAccuracy(`task-${i}`) : weightDrift(`language_model.layers.${i}`),
);
const probeEverySteps = Number(flags['probe-every']);

const dataDir = mkdtempSync(join(tmpdir(), 'plumbline-bench-open-'));
let hub: HubProcess | undefined;
let socket: Socket<HubToDashboard, DashboardToHub> | undefined;
try {
  const points = await fill();
  hub = await HubProcess.start({ dataDir });
  const { url } = hub;
  socket = io(`${url}/dashboard`, { transports: ['websocket'] });
  const dashboard = socket;
  let bytes = 0;
  const read = async <T>(path: string): Promise<T> => {
    const text = await (await fetch(`${url}/api/runs/${runId}/${path}`)).text();
    bytes = text.length;
    return JSON.parse(text) as T;
  };
  const asked = new URLSearchParams(firstCharts.map((name) => ['metric', name]));
  const open = async (): Promise<void> => {
    const answer = await dashboard.emitWithAck('watch', { runId, series: firstCharts });
    if (!answer.ok) throw new Error(answer.error.message);
    const { lastSeq } = await read<ControlEventsResponse>('events');
    const { series } = await read<HistoryResponse>(`history?${asked}&maxPoints=${maxPoints}`);
    const missing = firstCharts.filter((name) => series[name]?.seqs.at(-1) !== steps);
    if (lastSeq !== steps || missing.length > 0) throw new Error(`Not whole: event ${lastSeq}, ${missing.join(', ')}`);
  };
  const timed = async (times: number, what: () => Promise<unknown>): Promise<number[]> => {
    const timesMs: number[] = [];
    for (let i = 0; i < times; i++) {
      const startMs = performance.now();
      await what();
      timesMs.push(performance.now() - startMs);
    }
    return timesMs;
  };
  const [firstMs] = await timed(1, open);
  const openMs = await timed(requests, open);
  const kb = Math.round(bytes / 1024);
  const latestMs = await timed(requests, () => read('latest?metric=drift/*'));
  const listMs = await timed(1, () => read('series'));
  const allMs = await timed(1, () => read(`history?maxPoints=${maxPoints}`));
  const allKb = Math.round(bytes / 1024);
  const rounded = (ms: number | undefined): number => Math.round(ms ?? NaN);
  console.log(
    JSON.stringify({
      benchmark: 'open',
      ...{ steps, series: seriesCount, probeEverySteps, points },
      firstOpenMs: rounded(firstMs),
      openP50Ms: rounded(quantile(openMs, 0.5)),
      openP95Ms: rounded(quantile(openMs, 0.95)),
      answerKb: kb,
      latestGroupP50Ms: rounded(quantile(latestMs, 0.5)),
      listMs: rounded(listMs[0]),
      allSeriesMs: rounded(allMs[0]),
      allSeriesKb: allKb,
      hubMemoryMb: Math.round(residentMb(hub.processId)),
    }),
  );
} finally {
  socket?.close();
  await hub?.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

/** Writes the run into the store as if it had been recorded. @returns its number of values */
async function fill(): Promise<number> {
  const startMs = performance.now();
  const store = new EmbeddedStore(join(dataDir, storeFile));
  const createdMs = 1_700_000_000_000;
  const description = describeRun(RunConfig.parse({ name: 'bench', tasks: ['counting'] }));
  const ended = { state: 'stopped', startedMs: createdMs, endedMs: createdMs } as const;
  const run = { runId, description, parent: null, reason: '', trainer: null, createdMs, ...ended };
  await store.createRun(run);
  let points = 0;
  const eventOf = (step: number): TrainerEvent => {
    const names = step % probeEverySteps === 0 ? [...everyStep, ...probed, ...others] : everyStep;
    points += names.length;
    const values = Object.fromEntries(names.map((name, i) => [name, Math.sin(step / 5000 + i) + Math.random() / 10]));
    return { type: 'step_completed', seq: step, step, stage: 0, wallTimeMs: createdMs + step * 137, metrics: values };
  };
  const batch = 5000;
  for (let from = 1; from <= steps; from += batch)
    await store.append(
      runId,
      Array.from({ length: Math.min(batch, steps - from + 1) }, (_, i) => eventOf(from + i)),
    );
  await store.updateRun(run);
  await store.close();
  console.log(`${steps} steps, ${points} values written in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  return points;
}
