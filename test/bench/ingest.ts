import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import type { HistoryResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { DashboardToHub, HubToDashboard } from '@plumbline/shared/socket';
import type { SenderOptions, SenderResult } from './ingest-sender.js';

/**
 * Trainer -> hub -> disk -> browser's side, in three processes: the number of values per second that are acknowledged
 * as durable while one client follows them, and the time of a value from the trainer's `emit` to that client.
 */
const { values: flags } = parseArgs({
  options: { seconds: { type: 'string', default: '15' }, metrics: { type: 'string', default: '100' } },
});
const seconds = Number(flags.seconds);
const metricsPerStep = Number(flags.metrics);
const root = fileURLToPath(new URL('../../../', import.meta.url));
const senderPath = fileURLToPath(new URL('ingest-sender.js', import.meta.url));

const dataDir = mkdtempSync(join(tmpdir(), 'plumbline-bench-'));
const hub = spawn(
  process.execPath,
  ['server/dist/cli.js', 'start', '--no-prepare', '--port', '0', '--data-dir', dataDir],
  { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
);
try {
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    hub.once('exit', () => reject(new Error(`The hub ended:\n${output}`)));
    hub.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const link = /(http:\S+)\/\?token=/.exec(output);
      if (link) resolve(link[1]!);
    });
  });
  const token = readFileSync(join(dataDir, 'trainer-token'), 'utf8');

  const most = await follow({ url, token, runId: 'bench-most', seconds, metricsPerStep, valuesPerS: null });
  console.log(`as fast as it goes: ${describe(most)}`);
  const calm = await follow({ url, token, runId: 'bench-calm', seconds, metricsPerStep, valuesPerS: 1000 });
  console.log(`at 1,000 values/s: ${describe(calm)}`);
  console.log(
    JSON.stringify({
      benchmark: 'ingest',
      valuesPerS: most.valuesPerS,
      p50AtMostMs: most.p50Ms,
      p95AtMostMs: most.p95Ms,
      p50Ms: calm.p50Ms,
      p95Ms: calm.p95Ms,
      timesLagged: most.timesLagged + calm.timesLagged,
    }),
  );
} finally {
  const exited = once(hub, 'exit');
  hub.kill('SIGTERM');
  await exited;
  rmSync(dataDir, { recursive: true, force: true });
}

interface Measured {
  valuesPerS: number;
  p50Ms: number;
  p95Ms: number;
  timesLagged: number;
  /** Share of the values that came live; a browser fetches the rest from history. */
  shareLive: number;
}

async function follow(options: SenderOptions): Promise<Measured> {
  const runId = RunId.parse(options.runId);
  const latencies: number[] = [];
  let liveValues = 0;
  let timesLagged = 0;
  const socket: Socket<HubToDashboard, DashboardToHub> = io(`${options.url}/dashboard`, { transports: ['websocket'] });
  const ended = new Promise<void>((resolve) => {
    socket.on('run', (run) => {
      if (run.runId !== runId) return;
      if (run.state === 'created') socket.emit('watch', { runId }, () => {});
      if (run.state === 'finished') resolve();
    });
  });
  socket.on('metrics', (batch) => {
    const nowMs = performance.timeOrigin + performance.now();
    for (const event of batch.events) {
      latencies.push(nowMs - event.wallTimeMs);
      liveValues += Object.keys(event.metrics).length;
    }
  });
  socket.on('lagged', () => timesLagged++);
  await once(socket as unknown as NodeJS.EventEmitter, 'connect');
  const { stdout } = await promisify(execFile)(process.execPath, [senderPath, JSON.stringify(options)]);
  const sent = JSON.parse(stdout) as SenderResult;
  await ended;
  socket.close();
  await checkStored(options.url, runId, sent);
  latencies.sort((a, b) => a - b);
  const quantile = (share: number) => Number((latencies[Math.floor(latencies.length * share)] ?? NaN).toFixed(1));
  return {
    valuesPerS: Math.round(sent.values / sent.seconds),
    p50Ms: quantile(0.5),
    p95Ms: quantile(0.95),
    timesLagged,
    shareLive: liveValues / sent.values,
  };
}

/** A benchmark of durable values must only count values that can be read back. */
async function checkStored(url: string, runId: RunId, sent: SenderResult): Promise<void> {
  const metric = 'drift/language_model.layers.0.mlp.up_proj';
  const response = await fetch(`${url}/api/runs/${runId}/history?metric=${metric}&maxPoints=100000`);
  const { series } = (await response.json()) as HistoryResponse;
  const stored = series[metric]?.seqs.length ?? 0;
  if (stored !== sent.lastSeq - 1)
    throw new Error(`${sent.lastSeq - 1} steps were acknowledged, ${stored} are stored.`);
}

function describe({ valuesPerS, p50Ms, p95Ms, timesLagged, shareLive }: Measured): string {
  const share = (100 * shareLive).toFixed(1);
  return `${valuesPerS} values/s durable, p50 ${p50Ms} ms, p95 ${p95Ms} ms, ${share} % live, lagged ${timesLagged} times`;
}
