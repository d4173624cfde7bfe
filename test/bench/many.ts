import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { HistoryResponse, WindowsResponse } from '@plumbline/shared/http';
import { HubProcess } from '../support/hub-process.js';
import { residentMb } from '../support/process-memory.js';
import { manyMetric, manyRun, type ManyOptions, type ManyResult } from './many-runs.js';
import { quantile } from './quantile.js';

/**
 * A hundred trainers with a thousand series each at one hub, and a single one at another. Are all acknowledged events
 * stored? Do other runs slow down the history of one? Does the hub's memory grow with the sent data or, at its start,
 * with the stored data? Both hubs answer alternately. The last line is one JSON; each ratio is the hub with many runs
 * over the hub with one.
 */
const { values: flags } = parseArgs({
  options: {
    trainers: { type: 'string', default: '100' },
    series: { type: 'string', default: '1000' },
    steps: { type: 'string', default: '100' },
    requests: { type: 'string', default: '40' },
  },
});
const [trainers, series, steps] = [Number(flags.trainers), Number(flags.series), Number(flags.steps)];
const sendersPath = fileURLToPath(new URL('many-senders.js', import.meta.url));
const [many, alone] = [await HubProcess.start(), await HubProcess.start()];
try {
  await send(alone, 1);
  const memory: { minute: number; mb: number }[] = [];
  const startMs = performance.now();
  const watching = setInterval(
    () => memory.push({ minute: (performance.now() - startMs) / 60_000, mb: residentMb(many.processId) }),
    500,
  );
  const sent = await send(many, trainers);
  clearInterval(watching);

  let lost = 0;
  for (const [runId, lastSeq] of Object.entries(sent.acknowledged)) {
    const { series: found } = await ask<WindowsResponse>(many, `/api/runs/${runId}/windows?metric=${manyMetric(0)}`);
    // The first and the last event have no values.
    lost += lastSeq - 2 - found[manyMetric(0)]!.counts[0]!;
  }
  // After a restart, so that nothing is in memory.
  const startsMb: number[] = [];
  for (const hub of [many, alone]) {
    await hub.stop();
    await hub.start();
    await sleep(3000);
    startsMb.push(residentMb(hub.processId));
  }
  const few = Array.from({ length: 4 }, (_, index) => `&metric=${manyMetric(index * 7)}`).join('');
  const whole = await inTurns('history?maxPoints=2000', series);
  const charts = await inTurns(`history?maxPoints=2000${few}`, 4);
  // The second half: by then the hub has opened all runs.
  const later = memory.filter(({ minute }) => minute > memory.at(-1)!.minute / 2);
  console.log(
    JSON.stringify({
      ...{ benchmark: 'many', trainers, series, steps },
      valuesPerS: Math.round((trainers * series * steps) / sent.seconds),
      eventsLost: lost,
      ...{ ackP50Ms: sent.ackP50Ms, ackP99Ms: sent.ackP99Ms },
      ...{ wholeRun: whole, fourSeries: charts, aim: 1.5 },
      memory: {
        halfMb: Math.round(later[0]!.mb),
        endMb: Math.round(later.at(-1)!.mb),
        slopeMbPerMin: Number(slopeOf(later).toFixed(1)),
      },
      atStart: {
        manyMb: Math.round(startsMb[0]!),
        aloneMb: Math.round(startsMb[1]!),
        ratio: Number((startsMb[0]! / startsMb[1]!).toFixed(2)),
      },
    }),
  );
} finally {
  await many.remove();
  await alone.remove();
}

async function send(hub: HubProcess, count: number): Promise<ManyResult> {
  const token = hub.trainerToken;
  const options: ManyOptions = { url: hub.url, token, trainers: count, series, steps };
  const { stdout } = await promisify(execFile)(process.execPath, [sendersPath, JSON.stringify(options)]);
  return JSON.parse(stdout) as ManyResult;
}

async function ask<T>(hub: HubProcess, path: string): Promise<T> {
  for (;;) {
    const answer = await fetch(hub.url + path);
    if (answer.ok) return (await answer.json()) as T;
    if (answer.status !== 503 && answer.status !== 429) throw new Error(`${path}: ${answer.status}`);
    await sleep(1000);
  }
}

/** The times of both hubs for the same answer about the same run, alternately. */
async function inTurns(path: string, expected: number) {
  const timesMs = new Map<HubProcess, number[]>([
    [many, []],
    [alone, []],
  ]);
  for (let request = -3; request < Number(flags.requests); request++)
    for (const [hub, times] of timesMs) {
      const startMs = performance.now();
      const { series: found } = await ask<HistoryResponse>(hub, `/api/runs/${manyRun(0)}/${path}`);
      if (request >= 0) times.push(performance.now() - startMs);
      const names = Object.keys(found).filter((name) => name.startsWith('drift/'));
      if (names.length !== expected || found[names[0]!]!.values.length !== steps)
        throw new Error(`${hub.url} has ${names.length} series of ${expected}.`);
    }
  const [ofMany, ofOne] = [timesMs.get(many)!, timesMs.get(alone)!];
  const at = (share: number): [number, number, number] => {
    const [a, b] = [quantile(ofMany, share), quantile(ofOne, share)];
    return [a, b, Number((a / b).toFixed(2))];
  };
  const [p50, p95] = [at(0.5), at(0.95)];
  return {
    ...{ manyP50Ms: p50[0], aloneP50Ms: p50[1], ratioP50: p50[2] },
    ...{ manyP95Ms: p95[0], aloneP95Ms: p95[1], ratioP95: p95[2] },
  };
}

/** Least squares, in MB per minute. */
function slopeOf(points: readonly { minute: number; mb: number }[]): number {
  const mean = (of: (point: { minute: number; mb: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [meanX, meanMb] = [mean(({ minute }) => minute), mean(({ mb }) => mb)];
  return mean(({ minute, mb }) => (minute - meanX) * (mb - meanMb)) / mean(({ minute }) => (minute - meanX) ** 2);
}
