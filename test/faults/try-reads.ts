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
await read(`/api/runs/${runId}/history?maxPoints=2000`);
await read(`/api/runs/${runId}/findings`);
await read(`/api/runs/${runId}/windows?everySteps=1`);
await Promise.all(Array.from({ length: 16 }, () => read(`/api/runs/${runId}/windows?everySteps=1`)));
await read(`/api/runs/${runId}/export`);
await read(`/healthz`);
const m = await (await fetch(hub.url + '/metrics')).text();
console.log(
  m
    .split('\n')
    .filter((l) => /eventloop_lag.*max|lag_p99|heap_size|external/.test(l) && !l.startsWith('#'))
    .join('\n'),
);
await hub.remove();
