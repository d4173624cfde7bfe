import { mkdtempSync } from 'node:fs';
import { HubProcess } from '../support/hub-process.js';
import { manyMetrics, storeLongRun } from '../support/long-run.js';
import { peakMb, residentMb } from '../support/process-memory.js';
const dataDir = mkdtempSync('/tmp/plumbline-try-');
const names = manyMetrics(100);
const steps = Number(process.argv[2] ?? 20000);
let t = performance.now();
const runId = await storeLongRun(dataDir, {
  runId: 'long',
  steps,
  metrics: () => Object.fromEntries(names.map((n) => [n, Math.random()])),
});
console.log('filled', (performance.now() - t) / 1000);
const hub = await HubProcess.start({ dataDir, env: { PLUMBLINE_MEMORY_MB: process.argv[3] ?? '512' } });
console.log('idle', residentMb(hub.processId));
async function lag(): Promise<string> {
  const m = await (await fetch(hub.url + '/metrics')).text();
  return [...m.matchAll(/eventloop_lag_(max|p99)_seconds (\S+)/g)].map(([, k, v]) => `${k} ${(1000 * Number(v)).toFixed(0)}`).join(' ') + ' gc ' + [...m.matchAll(/gc_duration_seconds_sum\{kind="(\w+)"\} (\S+)/g)].map(([, k, v]) => `${k} ${Number(v).toFixed(2)}`).join(' ');
}
async function read(path: string) {
  const t = performance.now();
  const r = await fetch(hub.url + path);
  let bytes = 0;
  if (!r.ok) return console.log(path, r.status, r.headers.get('retry-after'), await r.text());
  for await (const c of r.body as unknown as AsyncIterable<Uint8Array>) bytes += c.length;
  console.log(
    path,
    r.status,
    (bytes / 1e6).toFixed(1),
    'MB',
    ((performance.now() - t) / 1000).toFixed(1),
    's rss',
    residentMb(hub.processId).toFixed(0),
    'peak',
    peakMb(hub.processId).toFixed(0),
  );
}
console.log(await lag());await read(`/api/runs/${runId}/history?maxPoints=2000`);console.log(await lag());
await read(`/api/runs/${runId}/findings`);console.log(await lag());
await read(`/api/runs/${runId}/windows?everySteps=1`);console.log(await lag());
await Promise.all(Array.from({ length: Number(process.argv[4] ?? 16) }, () => read(`/api/runs/${runId}/windows?everySteps=1`)));
console.log(await lag());await read(`/api/runs/${runId}/export`);console.log(await lag());await read(`/api/runs/${runId}/export`);console.log(await lag());
await read(`/healthz`);
const m = await (await fetch(hub.url + '/metrics')).text();
console.log(
  m
    .split('\n')
    .filter((l) => /eventloop_lag.*max|lag_p99|heap_size|external/.test(l) && !l.startsWith('#'))
    .join('\n'),
);
await hub.remove();
