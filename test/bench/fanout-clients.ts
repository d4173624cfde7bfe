import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { io, type Socket } from 'socket.io-client';
import { RunId } from '@plumbline/shared/run';
import type { DashboardToHub, HubToDashboard } from '@plumbline/shared/socket';
import { rawDashboard } from '../support/raw-dashboard.js';
import { quantile } from './quantile.js';

/**
 * The browsers of bench:fanout, in their own process. It reads its options as JSON from the first argument and orders
 * from standard input, one per line, and answers each with a line: `watch <run>` (all browsers), `flood <run>` (those
 * that do not read), `result` (one JSON).
 */
export interface FanoutClientOptions {
  url: string;
  readers: number;
  stalled: number;
}
export interface FanoutClientResult {
  p50Ms: number;
  p95Ms: number;
  events: number;
  /** Batches that did not follow the previous one. */
  gaps: number;
  timesLagged: number;
}

const { url, readers, stalled } = JSON.parse(process.argv[2] ?? '') as FanoutClientOptions;
const latencies: number[] = [];
let [events, gaps, timesLagged] = [0, 0, 0];
const sockets: Socket<HubToDashboard, DashboardToHub>[] = [];
for (let i = 0; i < readers; i++) {
  const socket: (typeof sockets)[number] = io(`${url}/dashboard`, { transports: ['websocket'], forceNew: true });
  let seq: number | null = null;
  socket.on('metrics', (batch) => {
    const nowMs = performance.timeOrigin + performance.now();
    for (const event of batch.events) latencies.push(nowMs - event.wallTimeMs);
    events += batch.events.length;
    if (seq !== null && batch.fromSeq !== seq) gaps++;
    seq = batch.toSeq;
  });
  socket.on('control', ({ event }) => (seq = event.seq));
  socket.on('lagged', () => timesLagged++);
  await once(socket as unknown as NodeJS.EventEmitter, 'connect');
  sockets.push(socket);
}
const deaf = await Promise.all(Array.from({ length: stalled }, () => rawDashboard(url)));
for (const { socket } of deaf) socket.pause();
console.log('connected');

for await (const line of createInterface({ input: process.stdin })) {
  const [order, run] = line.split(' ');
  // A paused socket still sends.
  if (order === 'watch' || order === 'flood')
    for (const { send } of deaf) send(`42/dashboard,["watch",${JSON.stringify({ runId: run })}]`);
  if (order === 'watch') {
    const answers = await Promise.all(
      sockets.map((socket) => socket.emitWithAck('watch', { runId: RunId.parse(run) })),
    );
    const refused = answers.find((answer) => !answer.ok);
    if (refused && !refused.ok) throw new Error(refused.error.message);
  }
  if (order === 'result') {
    const [p50Ms, p95Ms] = [quantile(latencies, 0.5), quantile(latencies, 0.95)];
    console.log(JSON.stringify({ p50Ms, p95Ms, events, gaps, timesLagged } satisfies FanoutClientResult));
  } else console.log(order);
}
process.exit(0);
